//! How values of requests are written, as schemas, and how they are read.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use tasker::{ContextMatch, SystemEvent};
use tasker_types::NAME_PATTERN;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Object, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What a pattern of events with a star matches.
const STARRED_PATTERN: &str = r"^[A-Za-z0-9._-]{0,63}\*[A-Za-z0-9._*-]{0,64}$";
/// What the name of a custom event matches.
const CUSTOM_PATTERN: &str = r"^(?!(task|step|workflow|observability|registry|handler)\.)[A-Za-z][A-Za-z0-9_-]{0,62}\.[A-Za-z][A-Za-z0-9_-]{0,63}$";
/// What a version or a requirement of one comparison matches.
const REQUIREMENT_PATTERN: &str = r"^(=|>=?|<=?|~|\^)?(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,2}$";

/// How many characters a label may have.
pub(super) const LABEL: usize = 128;
/// How many characters the name of a person or a system may have.
pub(super) const PARTY: usize = 255;
/// How many characters may say what an annotation or a context must have.
pub(super) const MATCH: usize = 1_024;
/// Texts without control characters.
pub(super) const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// A plain name, and a value after `=`.
pub(super) const ANNOTATION: &str = r"^[^=\u0000-\u001f\u007f-\u009f]{1,128}(=[\s\S]*)?$";
/// How many characters an id has.
pub(super) const ID: usize = 36;
/// The beginning of an id.
pub(super) const BEGINNING: &str = r"^[0-9a-f-]{1,36}$";
/// A version of three numbers, with what may follow.
const VERSION: &str = r"^(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$";

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident matching $pattern:expr, at most $most:expr, like $example:literal;)+) => {
        $(
            $(#[doc = $doc])+
            pub(crate) struct $name;

            impl $name {
                fn form() -> Object {
                    ObjectBuilder::new()
                        .schema_type(SchemaType::Type(Type::String))
                        .min_length(Some(1))
                        .max_length(Some($most))
                        .pattern(Some($pattern))
                        .description(Some(concat!($($doc),+).trim_start()))
                        .examples([Value::from($example)])
                        .build()
                }
            }

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Self::form().into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

texts! {
    /// A name: of a namespace, a handler or a step.
    NameText matching NAME_PATTERN, at most 128, like "payments";
    /// A version.
    VersionText matching VERSION, at most 255, like "2.1.0";
    /// The beginning of a task's id.
    BeginningText matching BEGINNING, at most ID, like "0198c2";
    /// A label.
    LabelText matching PLAIN, at most LABEL, like "vip";
    /// The name of a person, a program or a system.
    PartyText matching PLAIN, at most PARTY, like "ann";
    /// The name of a note, and after `=` its value: JSON, or a text.
    AnnotationText matching ANNOTATION, at most MATCH, like "ticket=4711";
    /// A path in the context, and after `=` the value there: a string as it is, anything else as JSON writes it.
    ContextText matching ContextMatch::PATTERN, at most MATCH, like "customer.id=42";
}

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
            .items(LabelText::form())
            .max_items(Some(64))
            .into()
    }
}

impl PartialSchema for Notes {
    fn schema() -> RefOr<Schema> {
        let anything: Object = ObjectBuilder::new().schema_type(SchemaType::AnyValue).build();
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property_names(Some(LabelText::form()))
            .additional_properties(Some(Schema::Object(anything)))
            .max_properties(Some(64))
            .into()
    }
}

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
