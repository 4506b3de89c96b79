use super::*;
use crate::cql::merge;
use crate::cql::model::sample;
use schemas::{FieldValue, Op};
use scylla::frame::response::result::TableSpec;
use std::path::{Path, PathBuf};

fn texts() -> Texts {
    Texts::new(&Keyspace::default(), &sample::columns())
}

#[test]
fn the_four_statements_are_these() {
    let texts = texts();
    let table = r#""tidewater"."profiles""#;
    let system = r#""tw_version", "tw_change", "tw_source", "tw_partition", "tw_offset""#;
    let by_key = r#"WHERE "tenant" = ? AND "user_id" = ?"#;
    assert_eq!(texts.erase, format!("DELETE FROM {table} USING TIMESTAMP ? {by_key}"));
    assert_eq!(
        texts.insert,
        format!(
            r#"INSERT INTO {table} ("tenant", "user_id", "name", "email", "visits", "avatar", "tw_live", {system}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"#
        )
    );
    assert_eq!(
        texts.update,
        format!(
            r#"UPDATE {table} USING TIMESTAMP ? SET "name" = ?, "email" = ?, "visits" = ?, "avatar" = ?, "tw_version" = ?, "tw_change" = ?, "tw_source" = ?, "tw_partition" = ?, "tw_offset" = ? {by_key}"#
        )
    );
    assert_eq!(
        texts.stub,
        format!(
            r#"INSERT INTO {table} ("tenant", "user_id", "tw_dead", {system}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"#
        )
    );
}

/// What I22 forbids in a text that changes rows; `None` if there is nothing of it.
fn forbidden(text: &str) -> Option<&'static str> {
    let upper = text.to_uppercase();
    if upper.matches("USING TIMESTAMP ?").count() != 1 {
        return Some("exactly one USING TIMESTAMP ?");
    }
    let words = [" IF ", " TTL ", " BATCH", "COUNTER", "USING TIMESTAMP 0", "NOW()", "+ ?", "[", "{"];
    words.into_iter().find(|word| upper.contains(word))
}

/// I22.
#[test]
fn every_statement_has_its_timestamp_bound_and_nothing_that_is_not_idempotent() {
    let Texts { erase, insert, update, stub } = texts();
    for text in [&erase, &insert, &update, &stub] {
        assert_eq!(forbidden(text), None, "{text}");
    }
    let spoiled = [
        erase.replace(" USING TIMESTAMP ?", ""),
        format!("{insert} AND TTL ?"),
        format!("{erase} IF EXISTS"),
        update.replace(r#""visits" = ?"#, r#""visits" = "visits" + ?"#),
        format!("BEGIN BATCH {insert}; APPLY BATCH"),
    ];
    for text in spoiled {
        assert!(forbidden(&text).is_some(), "{text}");
    }
}

/// I22: the four are all there are.
#[test]
fn no_other_file_of_the_product_writes_rows() {
    let is_dml = |line: &str| {
        ["INSERT INTO ", "DELETE FROM ", "UPDATE {", "UPDATE \\\"", "BEGIN BATCH"]
            .iter()
            .any(|word| line.contains(word))
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found: Vec<_> = rust_files(&source)
        .into_iter()
        .filter(|path| !path.ends_with("cql/statement/tests.rs"))
        .filter(|path| std::fs::read_to_string(path).unwrap().lines().any(is_dml))
        .map(|path| path.strip_prefix(&source).unwrap().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, [Path::new("cql/statement.rs")]);
    let batches: Vec<_> = rust_files(&source)
        .into_iter()
        .flat_map(|path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains("BatchType::") && !line.contains("contains"))
        .collect();
    assert_eq!(batches.len(), 1, "one place makes batches: {batches:?}");
    assert!(batches[0].contains("BatchType::Unlogged"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn specs(columns: &[(&'static str, Encoding)]) -> Vec<ColumnSpec<'static>> {
    let spec = |(name, encoding): &(&'static str, Encoding)| {
        ColumnSpec::borrowed(name, ColumnType::Native(encoding.native()), TableSpec::borrowed("tidewater", TABLE))
    };
    columns.iter().map(spec).collect()
}

const UPDATE: [(&str, Encoding); 12] = [
    (TIMESTAMP, Encoding::BigInt),
    ("name", Encoding::Text),
    ("email", Encoding::Text),
    ("visits", Encoding::BigInt),
    ("avatar", Encoding::Blob),
    ("tw_version", Encoding::BigInt),
    ("tw_change", Encoding::Uuid),
    ("tw_source", Encoding::Text),
    ("tw_partition", Encoding::Int),
    ("tw_offset", Encoding::BigInt),
    ("tenant", Encoding::Text),
    ("user_id", Encoding::Text),
];

#[derive(Debug, PartialEq)]
enum Sent {
    Unset,
    Null,
    Bytes(Vec<u8>),
}

/// What goes out for each `?` of `columns`.
fn sent(columns: &[(&'static str, Encoding)], statement: Statement<'_>) -> Result<Vec<Sent>, SerializationError> {
    let specs = specs(columns);
    let shape = shape(specs.iter(), &sample::columns()).unwrap();
    let bound = Bound { shape: &shape, key: Key { tenant: "main", user_id: "ada" }, statement };
    let mut buffer = Vec::new();
    bound.serialize(&RowSerializationContext::from_specs(&specs), &mut RowWriter::new(&mut buffer))?;
    let (mut rest, mut sent) = (&buffer[..], vec![]);
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = i32::from_be_bytes(*len);
        let (value, after) = after.split_at(usize::try_from(len).unwrap_or(0));
        sent.push(match len {
            -2 => Sent::Unset,
            -1 => Sent::Null,
            _ => Sent::Bytes(value.to_vec()),
        });
        rest = after;
    }
    Ok(sent)
}

/// I4.
#[test]
fn a_patch_sends_what_it_sets_null_for_what_it_clears_and_nothing_for_the_rest() {
    let mut patch = sample::change(Op::Patch, 80);
    patch.set.set(0, FieldValue::Text("Ada".into()));
    patch.unset.insert(2);
    let Some(Statement::Cells(cells)) = merge(&[&patch]).pop() else { panic!("a patch is cells") };
    let bytes = |bytes: &[u8]| Sent::Bytes(bytes.to_vec());
    let mut expected = vec![
        bytes(&81_i64.to_be_bytes()),
        bytes(b"Ada"),
        Sent::Unset,
        Sent::Null,
        Sent::Unset,
        bytes(&80_i64.to_be_bytes()),
        bytes(patch.id.as_bytes()),
        Sent::Null,
        bytes(&3_i32.to_be_bytes()),
        bytes(&80_i64.to_be_bytes()),
        bytes(b"main"),
        bytes(b"ada"),
    ];
    assert_eq!(sent(&UPDATE, Statement::Cells(cells)).unwrap(), expected);
    let superseded = Cells { stamp: false, receipt: false, ..cells };
    expected[5..10].fill_with(|| Sent::Unset);
    assert_eq!(sent(&UPDATE, Statement::Cells(superseded)).unwrap(), expected);
}

/// What noise cannot move: values go from the change into the request, and nothing is made on the way.
#[test]
fn binding_takes_no_allocation() {
    let mut patch = sample::change(Op::Patch, 80);
    patch.set.set(0, FieldValue::Text("Ada".into()));
    patch.set.set(1, FieldValue::Text("ada@example.org".into()));
    let statement = merge(&[&patch])[0];
    let specs = specs(&UPDATE);
    let shape = shape(specs.iter(), &sample::columns()).unwrap();
    let bound = Bound { shape: &shape, key: Key { tenant: "main", user_id: "ada" }, statement };
    let context = RowSerializationContext::from_specs(&specs);
    let mut buffer = Vec::with_capacity(4_096);
    let found = allocation_counter::measure(|| {
        buffer.clear();
        bound.serialize(&context, &mut RowWriter::new(&mut buffer)).unwrap();
    });
    assert_eq!(found.count_total, 0, "{found:?}");
    assert!(buffer.len() > 100);
}

#[test]
fn a_row_delete_sends_its_version_and_the_key() {
    let erase = [(TIMESTAMP, Encoding::BigInt), ("tenant", Encoding::Text), ("user_id", Encoding::Text)];
    let bytes = |bytes: &[u8]| Sent::Bytes(bytes.to_vec());
    let expected = [bytes(&80_i64.to_be_bytes()), bytes(b"main"), bytes(b"ada")];
    assert_eq!(sent(&erase, Statement::Erase { at: 80 }).unwrap(), expected);
}

#[test]
fn a_value_of_the_wrong_type_is_not_sent() {
    let mut patch = sample::change(Op::Patch, 80);
    patch.set.set(0, FieldValue::Long(1));
    let statement = merge(&[&patch])[0];
    assert!(sent(&UPDATE, statement).is_err());
}

#[test]
fn a_table_that_drifted_is_found_when_the_statements_are_prepared() {
    let mut drifted = UPDATE;
    drifted[1].1 = Encoding::Int;
    let drift = shape(specs(&drifted).iter(), &sample::columns()).unwrap_err();
    assert!(drift.to_string().starts_with("column name is Native(Int) in the table, the profile says text"), "{drift}");
    let unknown = [("shoe_size", Encoding::Int)];
    assert!(shape(specs(&unknown).iter(), &sample::columns()).is_err());
}
