//! What is said about a task beside its template and context: who asked, why, labels and notes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tasker_types::Timestamp;
use thiserror::Error;

use crate::trace::TraceContext;

/// The longest tag, and the longest name of an annotation, in characters.
const LONGEST: usize = 128;
/// How many tags a task may have, and how many annotations.
const MOST: usize = 64;
/// The longest annotation as JSON, in bytes.
const LARGEST: usize = 16 << 10;

/// What a request may say about a task beside its template and context; none of it decides how steps run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Who asked for the task.
    pub initiator: Option<String>,
    /// The system that the request came from.
    pub source_system: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Notes by name: any JSON.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
    /// The correlation id that the request brought along.
    pub correlation_id: Option<String>,
    /// The span that the task is part of, as the request brought it along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_context: Option<TraceContext>,
    /// When the task was asked for, by the one who asked.
    pub requested_at: Option<Timestamp>,
}

/// A label or a note that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} is {value}, but it must be {must}")]
pub struct OriginFault {
    /// What it is.
    pub what: &'static str,
    /// The value.
    pub value: String,
    /// What it must be.
    pub must: &'static str,
}

fn require(
    holds: bool,
    what: &'static str,
    value: impl ToString,
    must: &'static str,
) -> Result<(), OriginFault> {
    if holds {
        return Ok(());
    }
    let value = value.to_string();
    Err(OriginFault { what, value, must })
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LONGEST && !text.contains(char::is_control)
}

impl Origin {
    /// Leaves each tag once, in the order in which they came, puts annotations in one form, and checks both.
    ///
    /// # Errors
    ///
    /// The first that is empty, too long or too much.
    pub fn check(&mut self) -> Result<(), OriginFault> {
        let mut seen = std::collections::BTreeSet::new();
        self.tags.retain(|tag| seen.insert(tag.clone()));
        let must = "1 to 128 characters, none of them a control character";
        for tag in &self.tags {
            require(is_label(tag), "a tag", format_args!("{tag:?}"), must)?;
        }
        require(
            self.tags.len() <= MOST,
            "the number of tags",
            self.tags.len(),
            "at most 64",
        )?;
        for (name, value) in &mut self.annotations {
            // In one form, so that equal ones are found by comparing texts.
            value.sort_all_objects();
            require(
                is_label(name),
                "the name of an annotation",
                format_args!("{name:?}"),
                must,
            )?;
            let size = value.to_string().len();
            let what = "the size of an annotation";
            require(size <= LARGEST, what, size, "at most 16384 bytes as JSON")?;
        }
        let count = self.annotations.len();
        require(count <= MOST, "the number of annotations", count, "at most 64")
    }
}

/// A change of what is said about a task. What it does not name stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[must_use = "a description changes nothing until it is demanded of a task"]
pub struct Description {
    reason: Option<String>,
    tags: Option<Vec<String>>,
    annotations: BTreeMap<String, Option<Value>>,
}

impl Description {
    /// Returns a change of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets why the task was asked for.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets the tags; those that the task had are gone.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = Some(tags.into_iter().map(Into::into).collect());
        self
    }

    /// Sets one annotation.
    pub fn annotate(mut self, name: impl Into<String>, value: Value) -> Self {
        self.annotations.insert(name.into(), Some(value));
        self
    }

    /// Takes one annotation away.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), None);
        self
    }

    /// Tells whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns an origin as it is after the change.
    ///
    /// # Errors
    ///
    /// A tag or an annotation that cannot be kept.
    pub fn applied_to(&self, origin: &Origin) -> Result<Origin, OriginFault> {
        let mut origin = origin.clone();
        if let Some(reason) = &self.reason {
            origin.reason = Some(reason.clone());
        }
        if let Some(tags) = &self.tags {
            origin.tags.clone_from(tags);
        }
        for (name, value) in &self.annotations {
            match value {
                Some(value) => origin.annotations.insert(name.clone(), value.clone()),
                None => origin.annotations.remove(name),
            };
        }
        origin.check()?;
        Ok(origin)
    }

    /// Returns what the history keeps of the change: `null` for an annotation that was taken away.
    pub fn metadata(&self) -> Value {
        let mut changed = serde_json::Map::new();
        if let Some(reason) = &self.reason {
            changed.insert("reason".to_owned(), json!(reason));
        }
        if let Some(tags) = &self.tags {
            changed.insert("tags".to_owned(), json!(tags));
        }
        if !self.annotations.is_empty() {
            changed.insert("annotations".to_owned(), json!(self.annotations));
        }
        json!({ "description": changed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tags: &[&str]) -> Origin {
        Origin {
            tags: tags.iter().map(ToString::to_string).collect(),
            ..Origin::default()
        }
    }

    fn annotated(name: &str, value: Value) -> Origin {
        Origin {
            annotations: BTreeMap::from([(name.to_owned(), value)]),
            ..Origin::default()
        }
    }

    #[track_caller]
    fn refused(mut origin: Origin, message: &str) {
        assert_eq!(origin.check().unwrap_err().to_string(), message);
    }

    #[test]
    fn each_tag_stays_once_in_its_order() {
        let mut origin = tagged(&["vip", "b2b", "vip", "äöü eu"]);
        origin.check().unwrap();
        assert_eq!(origin.tags, ["vip", "b2b", "äöü eu"]);
    }

    #[test]
    fn what_is_no_label_is_refused() {
        let must = "but it must be 1 to 128 characters, none of them a control character";
        refused(tagged(&[""]), &format!("a tag is \"\", {must}"));
        refused(tagged(&["a\nb"]), &format!("a tag is \"a\\nb\", {must}"));
        let long = "ü".repeat(129);
        refused(tagged(&[&long]), &format!("a tag is \"{long}\", {must}"));
        tagged(&[&"ü".repeat(128)]).check().unwrap();
        refused(
            annotated("", json!(1)),
            &format!("the name of an annotation is \"\", {must}"),
        );
    }

    #[test]
    fn there_is_a_limit_to_labels_and_notes() {
        let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        refused(
            tagged(&many),
            "the number of tags is 65, but it must be at most 64",
        );
        let annotations = many.iter().map(|name| ((*name).to_owned(), json!(null)));
        let origin = Origin {
            annotations: annotations.collect(),
            ..Origin::default()
        };
        refused(
            origin,
            "the number of annotations is 65, but it must be at most 64",
        );
        refused(
            annotated("log", json!("x".repeat(LARGEST))),
            "the size of an annotation is 16386, but it must be at most 16384 bytes as JSON",
        );
    }

    #[test]
    fn a_description_changes_what_it_names() {
        let before = Origin {
            initiator: Some("ann".to_owned()),
            reason: Some("first".to_owned()),
            tags: vec!["a".to_owned()],
            ..annotated("ticket", json!(7))
        };
        let change = Description::new()
            .reason("second")
            .annotate("ticket", json!(8))
            .annotate("by", json!({ "team": "payments" }));
        let after = change.applied_to(&before).unwrap();
        assert_eq!(after.initiator, before.initiator);
        assert_eq!(
            (after.reason.as_deref(), &after.tags),
            (Some("second"), &before.tags)
        );
        assert_eq!(
            json!(after.annotations),
            json!({ "ticket": 8, "by": { "team": "payments" } })
        );
        let less = Description::new().tags([] as [&str; 0]).without("ticket");
        let last = less.applied_to(&after).unwrap();
        assert!(last.tags.is_empty());
        assert_eq!(json!(last.annotations), json!({ "by": { "team": "payments" } }));
        assert_eq!(
            less.metadata(),
            json!({ "description": { "tags": [], "annotations": { "ticket": null } } })
        );
        assert!(Description::new().is_empty() && !less.is_empty());
    }

    #[test]
    fn a_description_that_cannot_be_kept_is_refused() {
        let change = Description::new().tags(["fine", ""]);
        assert_eq!(change.applied_to(&Origin::default()).unwrap_err().what, "a tag");
    }

    #[test]
    fn an_origin_without_notes_is_written_as_it_always_was() {
        assert_eq!(
            json!(Origin::default()),
            json!({ "initiator": null, "source_system": null, "reason": null, "tags": [], "correlation_id": null,
                    "requested_at": null })
        );
    }
}
