//! `{{ context.a.b }}`, `{{ steps.fetch.result.x }}` and `{{ env.NAME }}` in the values of a configuration.

use std::collections::BTreeMap;

use serde_json::Value;
use tasker_engine::{StepContext, StepError};
use thiserror::Error;

/// The code of the failure when an expression names a value that is not there.
const VALUE_MISSING: &str = "template_value_missing";

/// A text with expressions in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Expression(Expression),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Context(Vec<String>),
    Result { step: String, path: Vec<String> },
    Environment(String),
}

/// A part of a text with its value filled in.
#[cfg(feature = "http")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// It stands in the text.
    Literal(String),
    /// It was an expression.
    Value {
        /// What it came to.
        text: String,
        /// Whether it is a variable, which may be a secret.
        of_environment: bool,
    },
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum ExpressionError {
    #[error("`{text}` has a `{{{{` without its `}}}}`")]
    Unclosed { text: String },
    #[error(
        "`{expression}` is no expression; write `context.a.b`, `steps.NAME.result.x` or `env.NAME` between the braces"
    )]
    Unknown { expression: String },
    #[error(
        "`{expression}` reads the result of `{step}`, but the step does not depend on it; add it to `depends_on`"
    )]
    NoParent { expression: String, step: String },
    #[error(
        "`{expression}` reads a variable that is not allowed; add `{name}` to `engine.template_environment`"
    )]
    NotAllowed { expression: String, name: String },
}

impl Template {
    /// Reads a text.
    pub(super) fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (expression, after) = after.split_once("}}").ok_or_else(|| ExpressionError::Unclosed {
                text: text.to_owned(),
            })?;
            parts.push(Part::Expression(Expression::parse(expression.trim())?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Checks that every result that is read is a parent's, and every variable allowed.
    pub(super) fn check(
        &self,
        parents: &[&str],
        environment: &BTreeMap<String, String>,
    ) -> Result<(), ExpressionError> {
        for part in &self.parts {
            match part {
                Part::Expression(expression @ Expression::Result { step, .. })
                    if !parents.contains(&step.as_str()) =>
                {
                    let (expression, step) = (expression.to_string(), step.clone());
                    return Err(ExpressionError::NoParent { expression, step });
                }
                Part::Expression(expression @ Expression::Environment(name))
                    if !environment.contains_key(name) =>
                {
                    let (expression, name) = (expression.to_string(), name.clone());
                    return Err(ExpressionError::NotAllowed { expression, name });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the parts with the values filled in.
    #[cfg(feature = "http")]
    pub(super) fn parts(
        &self,
        ctx: &StepContext,
        environment: &BTreeMap<String, String>,
    ) -> Result<Vec<Filled>, StepError> {
        self.parts
            .iter()
            .map(|part| {
                Ok(match part {
                    Part::Text(literal) => Filled::Literal(literal.clone()),
                    Part::Expression(expression) => Filled::Value {
                        text: as_text(&expression.value(ctx, environment)?),
                        of_environment: matches!(expression, Expression::Environment(_)),
                    },
                })
            })
            .collect()
    }

    /// Returns the text before the first expression.
    #[cfg(feature = "http")]
    pub(super) fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(literal)) => literal,
            _ => "",
        }
    }

    /// Returns the text between the expressions.
    #[cfg(feature = "http")]
    pub(super) fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(literal) => Some(literal.as_str()),
            Part::Expression(_) => None,
        })
    }

    /// Tells whether there is no expression in the text.
    #[cfg(feature = "http")]
    pub(super) fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Fills in the values. A text that is one expression gives the value as it is.
    pub(super) fn fill(
        &self,
        ctx: &StepContext,
        environment: &BTreeMap<String, String>,
    ) -> Result<Value, StepError> {
        if let [Part::Expression(expression)] = &self.parts[..] {
            return expression.value(ctx, environment);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Expression(expression) => text.push_str(&as_text(&expression.value(ctx, environment)?)),
            }
        }
        Ok(Value::String(text))
    }
}

/// Writes a value as text: a string as it is, everything else as JSON.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Expression {
    fn parse(text: &str) -> Result<Self, ExpressionError> {
        let unknown = || ExpressionError::Unknown {
            expression: text.to_owned(),
        };
        let mut keys = text.split('.').map(ToOwned::to_owned);
        let root = keys.next().unwrap_or_default();
        let keys: Vec<String> = keys.collect();
        if keys.iter().any(String::is_empty) {
            return Err(unknown());
        }
        match (root.as_str(), keys.as_slice()) {
            ("context", path) => Ok(Self::Context(path.to_vec())),
            ("steps", [step, result, path @ ..]) if result == "result" => Ok(Self::Result {
                step: step.clone(),
                path: path.to_vec(),
            }),
            ("env", [name]) => Ok(Self::Environment(name.clone())),
            _ => Err(unknown()),
        }
    }

    fn value(&self, ctx: &StepContext, environment: &BTreeMap<String, String>) -> Result<Value, StepError> {
        let found = match self {
            Self::Context(path) => descend(ctx.context().to_value(), path),
            Self::Result { step, path } => ctx
                .parent(step)
                .and_then(|result| descend(result.to_value(), path)),
            Self::Environment(name) => environment.get(name).cloned().map(Value::String),
        };
        found.ok_or_else(|| StepError::permanent(VALUE_MISSING, format!("`{self}` has no value")))
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = match self {
            Self::Context(path) => {
                f.write_str("context")?;
                path
            }
            Self::Result { step, path } => {
                write!(f, "steps.{step}.result")?;
                path
            }
            Self::Environment(name) => return write!(f, "env.{name}"),
        };
        path.iter().try_for_each(|key| write!(f, ".{key}"))
    }
}

/// Follows keys of objects and places of lists.
fn descend(mut value: Value, path: &[String]) -> Option<Value> {
    for key in path {
        value = match value {
            Value::Object(mut fields) => fields.remove(key)?,
            Value::Array(mut items) => {
                let index: usize = key.parse().ok()?;
                (index < items.len()).then(|| items.swap_remove(index))?
            }
            _ => return None,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, message: &str) {
        let checked = Template::parse(text).and_then(|template| template.check(&["fetch"], &BTreeMap::new()));
        assert_eq!(checked.unwrap_err().to_string(), message);
    }

    #[test]
    fn faults_say_what_to_write() {
        refused("a {{ context.b", "`a {{ context.b` has a `{{` without its `}}`");
        refused(
            "{{ result.x }}",
            "`result.x` is no expression; write `context.a.b`, `steps.NAME.result.x` or `env.NAME` between the braces",
        );
        refused(
            "{{ steps.other.result.id }}",
            "`steps.other.result.id` reads the result of `other`, but the step does not depend on it; add it to \
             `depends_on`",
        );
        refused(
            "{{ env.HOME }}",
            "`env.HOME` reads a variable that is not allowed; add `HOME` to `engine.template_environment`",
        );
    }

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let value = serde_json::json!({"a": [{"b": 7}]});
        let path = ["a", "0", "b"].map(ToOwned::to_owned);
        assert_eq!(descend(value.clone(), &path), Some(serde_json::json!(7)));
        assert_eq!(descend(value, &["a", "1"].map(ToOwned::to_owned)), None);
    }
}
