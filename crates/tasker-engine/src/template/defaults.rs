//! Filling in the defaults of a schema.

use std::borrow::Cow;

use serde_json::Value;

use super::context::size_of;

/// How deep defaults are filled in; a schema that refers to itself ends here.
const DEEPEST: usize = 64;

/// How many schemas are applied to values of one context: far more than an honest schema needs.
const STEPS: u64 = 10_000_000;

/// Fills in what a schema gives as defaults under `properties`, `items` and references within it.
///
/// # Errors
///
/// When the defaults do not end, or amount to more than `limit` bytes.
pub(super) fn fill_defaults(schema: &Value, value: &mut Value, limit: u64) -> Result<(), String> {
    Filler {
        root: schema,
        steps: 0,
        added: 0,
        limit,
    }
    .fill(schema, value, 0)
}

struct Filler<'a> {
    root: &'a Value,
    steps: u64,
    added: u64,
    limit: u64,
}

impl<'a> Filler<'a> {
    fn fill(&mut self, schema: &'a Value, value: &mut Value, depth: usize) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS {
            return Err(
                "the schema of the template refers to itself without end; its defaults cannot be filled in"
                    .to_owned(),
            );
        }
        if depth > DEEPEST {
            return Ok(());
        }
        for schema in self.with_references(schema) {
            if let (Some(Value::Object(properties)), Value::Object(fields)) =
                (schema.get("properties"), &mut *value)
            {
                for (name, property) in properties {
                    if !fields.contains_key(name)
                        && let Some(default) = self.default_of(property)
                    {
                        self.count(default)?;
                        fields.insert(name.clone(), default.clone());
                    }
                    if let Some(field) = fields.get_mut(name) {
                        self.fill(property, field, depth + 1)?;
                    }
                }
            }
            if let (Some(items), Value::Array(values)) = (schema.get("items"), &mut *value) {
                // `items` is about those that `prefixItems` says nothing about.
                let before = schema
                    .get("prefixItems")
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len);
                for item in values.iter_mut().skip(before) {
                    self.fill(items, item, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, default: &Value) -> Result<(), String> {
        self.added += size_of(default);
        if self.added <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        Err(format!(
            "the defaults of the template's schema amount to more than {limit} bytes; shorten them, or raise \
             `limits.context`"
        ))
    }

    /// Returns the default of a schema, its own or that of what it refers to.
    fn default_of(&self, schema: &'a Value) -> Option<&'a Value> {
        self.with_references(schema)
            .into_iter()
            .find_map(|schema| schema.get("default"))
    }

    /// Returns a schema and those that it refers to, each once.
    fn with_references(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut schemas = vec![schema];
        let mut last = schema;
        while let Some(next) = last
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| self.referred(path))
        {
            if schemas.iter().any(|known| std::ptr::eq(*known, next)) {
                break;
            }
            schemas.push(next);
            last = next;
        }
        schemas
    }

    /// Returns the place of the schema that a reference such as `#/$defs/line` means.
    fn referred(&self, reference: &str) -> Option<&'a Value> {
        self.root.pointer(&percent_decoded(reference.strip_prefix('#')?)?)
    }
}

/// Decodes a fragment of a URI; `None` when it is none.
fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
