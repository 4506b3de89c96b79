use super::*;
use crate::cql::model::sample;

/// What `system_schema` says of the table that we make.
fn ours() -> Found {
    let column = |(name, encoding): (&str, Encoding)| {
        let position = KEY.iter().position(|key| *key == name);
        FoundColumn {
            name: name.into(),
            cql: encoding.cql().into(),
            kind: if position.is_some() { "partition_key" } else { "regular" }.into(),
            position: position.map_or(-1, |position| i32::try_from(position).unwrap()),
        }
    };
    let own = [("class", "org.apache.cassandra.locator.NetworkTopologyStrategy"), ("datacenter1", "1")];
    Found {
        keyspace: Some(own.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
        table: Some(FoundTable { gc_grace: GC_GRACE_MIN, time_to_live: Duration::ZERO }),
        columns: wanted(&sample::columns()).map(column).collect(),
    }
}

fn plan_of(found: &Found) -> Plan {
    plan(&Keyspace::default(), found, &sample::columns(), &Replication::within("datacenter1", 1))
}

#[test]
fn where_nothing_is_keyspace_and_table_are_made() {
    let found = Found::default();
    assert!(differences(&found, &sample::columns()).iter().all(Difference::is_missing));
    let plan = plan_of(&found);
    let [keyspace, table] = plan.statements() else { panic!("two statements: {plan:?}") };
    assert_eq!(
        keyspace,
        r#"CREATE KEYSPACE IF NOT EXISTS "tidewater" WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1} AND durable_writes = true"#
    );
    assert_eq!(
        table,
        r#"CREATE TABLE IF NOT EXISTS "tidewater"."profiles" ("tenant" text, "user_id" text, "name" text, "email" text, "visits" bigint, "avatar" blob, "tw_live" bigint, "tw_dead" bigint, "tw_version" bigint, "tw_change" uuid, "tw_source" text, "tw_partition" int, "tw_offset" bigint, PRIMARY KEY (("tenant", "user_id"))) WITH gc_grace_seconds = 3888000"#
    );
}

#[test]
fn where_all_is_as_it_must_be_nothing_is_done() {
    assert_eq!(differences(&ours(), &sample::columns()), []);
    assert_eq!(plan_of(&ours()), Plan::default());
}

#[test]
fn a_new_field_is_a_new_column_and_nothing_else() {
    let mut found = ours();
    found.columns.retain(|column| column.name != "visits");
    assert!(differences(&found, &sample::columns()).iter().all(Difference::is_missing));
    assert_eq!(
        plan_of(&found).statements(),
        [r#"ALTER TABLE "tidewater"."profiles" ADD IF NOT EXISTS "visits" bigint"#]
    );
}

#[test]
fn a_column_of_somebody_else_is_left_alone_with_a_note() {
    let mut found = ours();
    let shoe_size = FoundColumn { name: "shoe_size".into(), cql: "int".into(), kind: "regular".into(), position: -1 };
    found.columns.push(shoe_size);
    assert_eq!(differences(&found, &sample::columns()), []);
    let plan = plan_of(&found);
    assert_eq!((plan.statements().len(), plan.notes().len()), (0, 1));
    assert!(plan.notes()[0].starts_with("column shoe_size is no field"));
}

#[test]
fn another_replication_is_left_alone_with_a_note() {
    let found = ours();
    let plan = plan(&Keyspace::default(), &found, &sample::columns(), &Replication::within("datacenter1", 3));
    assert_eq!((plan.statements().len(), plan.notes().len()), (0, 1));
}

#[test]
fn all_that_cannot_be_cured_by_adding_is_named_at_once() {
    let mut found = ours();
    for column in &mut found.columns {
        match column.name.as_str() {
            "visits" => column.cql = "text".into(),
            "name" => column.kind = "static".into(),
            "email" => (column.kind, column.position) = ("clustering".into(), 0),
            _ => {}
        }
    }
    let foreign = FoundColumn { name: "tw_next".into(), cql: "int".into(), kind: "regular".into(), position: -1 };
    found.columns.push(foreign);
    found.table = Some(FoundTable { gc_grace: Duration::from_secs(864_000), time_to_live: Duration::from_secs(60) });
    let differences = differences(&found, &sample::columns());
    let error = TableError::Drift { keyspace: Keyspace::default(), differences };
    let text = error.to_string();
    for part in [
        "the primary key is ((tenant, user_id), email)",
        "column name is static text",
        "column visits is text, the profile says bigint",
        "column tw_next belongs to another release",
        "gc_grace_seconds is 864000, it must be at least 3888000",
        "default_time_to_live is 60",
    ] {
        assert!(text.contains(part), "{part} in: {text}");
    }
}
