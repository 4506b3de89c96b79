//! Reading a change by a plan that was made once for the schema it was written with.

use super::conversion::{Conversion, Missed};
use super::wire::{Input, Malformed};
use crate::profile::Problems;
use crate::{Draft, Field, FieldSet, Op, Profile, Row};
use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordField, RecordSchema, UuidSchema};
use uuid::Uuid;

/// How to read what one schema writes into the fields of our profile.
///
/// Fields may stand in another order, lack, have a former name or a narrower type: all of that is settled here.
#[derive(Debug)]
pub(crate) struct ReadPlan {
    steps: Vec<Step>,
    fields: Vec<FieldStep>,
    width: usize,
    unknown: Vec<Box<str>>,
}

/// A change as it stands in a record, its texts still there.
pub(super) struct Parts<'a> {
    pub(super) id: Option<Uuid>,
    pub(super) tenant: Option<&'a str>,
    pub(super) user_id: &'a str,
    pub(super) op: Op,
    pub(super) set: Option<Row>,
    pub(super) unset: FieldSet,
    pub(super) occurred_at: Option<i64>,
    pub(super) source: Option<&'a str>,
    pub(super) version: Option<i64>,
}

/// Why a record of a known schema was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Malformed(Malformed),
    /// `unset` names a field that we do not have.
    UnknownName,
    /// The field at this position of our profile has a symbol that we do not have.
    UnknownSymbol(usize),
}

/// One part of the change, in the order of the writer.
#[derive(Debug)]
struct Step {
    branches: Branches,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Id,
    Tenant,
    UserId,
    /// By the writer's position.
    Op(Vec<Op>),
    Set,
    Unset,
    OccurredAt,
    Source,
    Version,
}

/// One profile field, in the order of the writer, and its position in our row.
#[derive(Debug)]
struct FieldStep {
    branches: Branches,
    conversion: Conversion,
    to: usize,
}

/// What stands before a value that may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branches {
    /// Nothing: it is never null.
    None,
    NullFirst,
    NullLast,
}

impl From<Malformed> for Unread {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl ReadPlan {
    /// The plan for `writer`, a change schema, and a profile of `fields`. What cannot be read goes to `problems`, with
    /// a path that starts with `at`.
    ///
    /// A field that we do not have is no problem here: [`ReadPlan::unknown_fields`] has it.
    pub(crate) fn new(writer: &Schema, fields: &[Field], at: &str, problems: &mut Problems) -> Option<Self> {
        let Schema::Record(record) = writer else {
            problems.add(at, "a change is a record");
            return None;
        };
        let mut plan = Self { steps: Vec::new(), fields: Vec::new(), width: fields.len(), unknown: Vec::new() };
        let mut sound = true;
        for field in &record.fields {
            let at = format!("{at} {}", field.name);
            sound &= plan.add_part(field, fields, &at, problems);
        }
        for (name, missing) in [
            ("user_id", !plan.steps.iter().any(|step| matches!(step.part, Part::UserId))),
            ("op", !plan.steps.iter().any(|step| matches!(step.part, Part::Op(_)))),
        ] {
            if missing {
                problems.add(format!("{at} {name}"), "is missing: every change has one");
                sound = false;
            }
        }
        sound.then_some(plan)
    }

    /// The writer's fields that we do not have: `field` of the change, `set.field` of the profile. No record of a
    /// schema with any of them is read, for the change would lose what they say.
    pub(crate) fn unknown_fields(&self) -> &[Box<str>] {
        &self.unknown
    }

    fn add_part(&mut self, field: &RecordField, ours: &[Field], at: &str, problems: &mut Problems) -> bool {
        let (branches, schema) = Branches::of(&field.schema);
        let part = match (field.name.as_str(), schema) {
            ("id", Schema::String | Schema::Uuid(UuidSchema::String)) => Part::Id,
            ("tenant", Schema::String) => Part::Tenant,
            ("user_id", Schema::String) if branches == Branches::None => Part::UserId,
            ("op", Schema::Enum(op)) if branches == Branches::None => match ops(op) {
                Some(ops) => Part::Op(ops),
                None => return problems.refuse(at, "has other symbols than upsert, patch and delete"),
            },
            ("set", Schema::Record(profile)) => {
                if !self.add_profile(profile, ours, at, problems) {
                    return false;
                }
                Part::Set
            }
            ("unset", Schema::Array(array)) if matches!(*array.items, Schema::String) => Part::Unset,
            ("occurred_at", Schema::Long | Schema::TimestampMicros) => Part::OccurredAt,
            ("source", Schema::String) => Part::Source,
            ("version", Schema::Long) => Part::Version,
            ("id" | "tenant" | "user_id" | "op" | "set" | "unset" | "occurred_at" | "source" | "version", _) => {
                return problems.refuse(at, "has a type that cannot be read as the one in change.avsc");
            }
            (unknown, _) => {
                self.unknown.push(unknown.into());
                return true;
            }
        };
        self.steps.push(Step { branches, part });
        true
    }

    fn add_profile(&mut self, writer: &RecordSchema, ours: &[Field], at: &str, problems: &mut Problems) -> bool {
        let mut sound = true;
        for field in &writer.fields {
            let Some((to, target)) = position(&field.name, writer, ours) else {
                self.unknown.push(format!("set.{}", field.name).into());
                continue;
            };
            let (branches, schema) = Branches::of(&field.schema);
            match Conversion::between(schema, &target.kind) {
                Some(conversion) => self.fields.push(FieldStep { branches, conversion, to }),
                None => {
                    sound = problems.refuse(
                        &format!("{at}.{}", field.name),
                        "has a type that cannot be read as the present one: give the changed field a new name",
                    );
                }
            }
        }
        sound
    }

    /// Reads the change that is all of `body`.
    pub(super) fn read<'a>(&self, body: &'a [u8], profile: &Profile) -> Result<Parts<'a>, Unread> {
        let mut input = Input::new(body);
        let (mut id, mut tenant, mut user_id, mut op, mut set) = (None, None, None, None, None);
        let (mut unset, mut occurred_at, mut source, mut version) = (FieldSet::EMPTY, None, None, None);
        for step in &self.steps {
            if step.branches.is_null(&mut input)? {
                continue;
            }
            match &step.part {
                Part::Id => id = Some(input.uuid()?),
                Part::Tenant => tenant = Some(input.text()?),
                Part::UserId => user_id = Some(input.text()?),
                Part::Op(ops) => op = ops.get(input.position(Malformed::Symbol)?).copied(),
                Part::Set => set = Some(self.read_row(&mut input)?),
                Part::Unset => input.texts(|name| {
                    unset.insert(profile.position(name).ok_or(Unread::UnknownName)?);
                    Ok::<_, Unread>(())
                })?,
                Part::OccurredAt => occurred_at = Some(input.long()?),
                Part::Source => source = Some(input.text()?),
                Part::Version => version = Some(input.long()?),
            }
        }
        input.end()?;
        let user_id = user_id.ok_or(Malformed::Envelope)?;
        let op = op.ok_or(Malformed::Symbol)?;
        Ok(Parts { id, tenant, user_id, op, set, unset, occurred_at, source, version })
    }

    fn read_row(&self, input: &mut Input<'_>) -> Result<Row, Unread> {
        let mut row = Row::with_width(self.width);
        for step in &self.fields {
            if step.branches.is_null(input)? {
                continue;
            }
            let value = step.conversion.read(input).map_err(|missed| match missed {
                Missed::Malformed(malformed) => Unread::Malformed(malformed),
                Missed::UnknownSymbol => Unread::UnknownSymbol(step.to),
            })?;
            if let Some(slot) = row.slots_mut().get_mut(step.to) {
                *slot = Some(value);
            }
        }
        Ok(row)
    }
}

impl Branches {
    /// How null is told from a value, and the schema of the value. A union of more is left as it stands.
    pub(super) fn of(schema: &Schema) -> (Self, &Schema) {
        let Schema::Union(union) = schema else { return (Self::None, schema) };
        match union.variants() {
            [Schema::Null, schema] => (Self::NullFirst, schema),
            [schema, Schema::Null] => (Self::NullLast, schema),
            _ => (Self::None, schema),
        }
    }

    #[inline]
    fn is_null(self, input: &mut Input<'_>) -> Result<bool, Malformed> {
        if self == Self::None {
            return Ok(false);
        }
        match input.position(Malformed::Branch)? {
            0 => Ok(self == Self::NullFirst),
            1 => Ok(self == Self::NullLast),
            _ => Err(Malformed::Branch),
        }
    }
}

impl From<Parts<'_>> for Draft {
    fn from(parts: Parts<'_>) -> Self {
        Self {
            id: parts.id,
            tenant: parts.tenant.map(Into::into),
            user_id: parts.user_id.into(),
            op: parts.op,
            set: parts.set,
            unset: parts.unset,
            occurred_at: parts.occurred_at,
            source: parts.source.map(Into::into),
            version: parts.version,
        }
    }
}

/// Our field for the writer's `name`: the one of that name, or one that was called so, unless the writer has that
/// field under a name that counts more.
fn position<'f>(name: &str, writer: &RecordSchema, ours: &'f [Field]) -> Option<(usize, &'f Field)> {
    let mut fields = ours.iter().enumerate();
    if let Some(found) = fields.find(|(_, field)| *field.name == *name) {
        return Some(found);
    }
    let mut fields = ours.iter().enumerate();
    fields.find(|(_, field)| {
        let mut names = std::iter::once(&field.name).chain(&field.aliases);
        let counts_most = names.find(|name| writer.fields.iter().any(|field| *field.name == ***name));
        counts_most.is_some_and(|most| **most == *name)
    })
}

fn ops(writer: &EnumSchema) -> Option<Vec<Op>> {
    let ops = writer.symbols.iter().map(|symbol| match symbol.as_str() {
        "upsert" => Some(Op::Upsert),
        "patch" => Some(Op::Patch),
        "delete" => Some(Op::Delete),
        _ => None,
    });
    ops.collect()
}
