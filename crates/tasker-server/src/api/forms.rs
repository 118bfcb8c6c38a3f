//! How values of requests are written, as schemas, and how they are read.

use serde::{Deserialize, Deserializer, de};
use tasker::SystemEvent;
use tasker_types::NAME_PATTERN;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Object, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What a label matches: a tag, or the name of an annotation.
const LABEL_PATTERN: &str = r"^[^\u0000-\u001F\u007F-\u009F]{1,128}$";
/// What a pattern of events with a star matches.
const STARRED_PATTERN: &str = r"^[A-Za-z0-9._-]{0,63}\*[A-Za-z0-9._*-]{0,64}$";
/// What the name of a custom event matches.
const CUSTOM_PATTERN: &str = r"^(?!(task|step|workflow|observability|registry|handler)\.)[A-Za-z][A-Za-z0-9_-]{0,62}\.[A-Za-z][A-Za-z0-9_-]{0,63}$";
/// What a version or a requirement of one comparison matches.
const REQUIREMENT_PATTERN: &str = r"^(=|>=?|<=?|~|\^)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}$";

/// A name: of a namespace, a handler or a step.
pub(crate) struct Name;
/// A version such as `2.1.0`, or a requirement such as `^2`.
pub(crate) struct VersionRequirement;
/// A name of events, in which `*` stands for anything.
pub(crate) struct EventPattern;
/// A place among events.
pub(crate) struct Place;
/// Tags: at most 64.
pub(crate) struct Labels;
/// Notes by name: at most 64, each any JSON.
pub(crate) struct Notes;

fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some(pattern))
}

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        text(NAME_PATTERN).into()
    }
}

impl PartialSchema for VersionRequirement {
    fn schema() -> RefOr<Schema> {
        text(REQUIREMENT_PATTERN).into()
    }
}

impl PartialSchema for EventPattern {
    fn schema() -> RefOr<Schema> {
        let names = SystemEvent::ALL.iter().map(|event| event.name());
        let system = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(names));
        AnyOfBuilder::new()
            .item(system)
            .item(text(STARRED_PATTERN))
            .item(text(CUSTOM_PATTERN))
            .into()
    }
}

impl PartialSchema for Place {
    fn schema() -> RefOr<Schema> {
        text(r"^[0-9]{1,18}(-[0-9]{1,9})?$").into()
    }
}

impl PartialSchema for Labels {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(text(LABEL_PATTERN).build())
            .max_items(Some(64))
            .into()
    }
}

impl PartialSchema for Notes {
    fn schema() -> RefOr<Schema> {
        let anything: Object = ObjectBuilder::new().schema_type(SchemaType::AnyValue).build();
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property_names(Some(text(LABEL_PATTERN).build()))
            .additional_properties(Some(Schema::Object(anything)))
            .max_properties(Some(64))
            .into()
    }
}

impl ToSchema for Name {}
impl ToSchema for VersionRequirement {}
impl ToSchema for EventPattern {}
impl ToSchema for Place {}
impl ToSchema for Labels {}
impl ToSchema for Notes {}

/// Reads an integer as JSON Schema understands it: `5.0` is one.
pub(crate) fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    whole_or_null(deserializer)?.ok_or_else(|| de::Error::custom("null is no integer"))
}

/// Reads an integer as JSON Schema understands it, or null.
pub(crate) fn whole_or_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    // Every value that a field can have is exact as a float of 64 bits.
    let value = number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        let fits = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
        fits.then_some(float as i64)
    });
    let value = value.ok_or_else(|| de::Error::custom(format!("{number} is no integer of this field")))?;
    T::try_from(value)
        .map(Some)
        .map_err(|_| de::Error::custom(format!("{number} is out of the range of this field")))
}
