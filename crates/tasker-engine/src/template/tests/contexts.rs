//! Contexts: what is filled in, and what is refused.

use super::*;

fn with_schema(schema: Value) -> std::sync::Arc<Template> {
    Template::builder("x")
        .context_schema(schema)
        .step(StepBuilder::new("a", "h"))
        .build()
        .unwrap()
}

#[test]
fn defaults_are_filled_in_everywhere() {
    let template = with_schema(json!({
        "type": "object",
        "properties": {
            "currency": {"default": "EUR"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            "shipping": {"default": {}, "properties": {"express": {"default": false}}},
        },
        "$defs": {"line": {"properties": {"count": {"$ref": "#/$defs/count"}}}, "count": {"default": 1}},
    }));
    let context = template
        .prepare_context(json!({"lines": [{}, {"count": 3}]}), &Limits::default())
        .unwrap();
    assert_eq!(
        context,
        json!({"currency": "EUR", "lines": [{"count": 1}, {"count": 3}], "shipping": {"express": false}})
    );
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let template = with_schema(
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}}),
    );
    assert!(
        template
            .prepare_context(json!({"a": {"a": {}}}), &Limits::default())
            .is_ok()
    );
}

#[test]
fn a_context_that_does_not_fit_is_refused_with_all_faults() {
    let template = with_schema(json!({
        "type": "object", "required": ["id"], "properties": {"amount": {"type": "number"}},
    }));
    let faults = template
        .prepare_context(json!({"amount": "much"}), &Limits::default())
        .unwrap_err();
    assert_eq!(
        faults.to_string(),
        "the context does not fit the template's schema: \"id\" is a required property\n\
         `/amount` does not fit the template's schema: \"much\" is not of type \"number\""
    );
    assert_eq!(
        template
            .prepare_context(json!([]), &Limits::default())
            .unwrap_err()
            .to_string(),
        "the context must be a JSON object, but it is a list"
    );
}

#[test]
fn a_context_over_the_limit_is_refused() {
    let template = with_schema(json!({}));
    let large = json!({"text": "x".repeat(1 << 20)});
    assert_eq!(
        template
            .prepare_context(large, &Limits::default())
            .unwrap_err()
            .to_string(),
        "the context has 1048587 bytes, but the limit is 1048576; pass a reference to the data instead, or raise \
         `limits.context`"
    );
}

#[test]
fn a_context_of_a_hundred_megabytes_names_the_limit_and_the_key() {
    let template = Template::builder("x")
        .step(StepBuilder::new("a", "h"))
        .build()
        .unwrap();
    let huge = json!({"text": "x".repeat(100 << 20)});
    assert_eq!(
        template
            .prepare_context(huge, &Limits::default())
            .unwrap_err()
            .to_string(),
        "the context has 104857611 bytes, but the limit is 1048576; pass a reference to the data instead, or raise \
         `limits.context`"
    );
}

#[test]
fn defaults_count_as_part_of_the_context() {
    let template = with_schema(json!({"properties": {"text": {"default": "x".repeat(700)}}}));
    let limits = Limits::try_from(LimitsValues {
        context: 1_000,
        ..LimitsValues::default()
    })
    .unwrap();
    assert_eq!(
        template
            .prepare_context(json!({"more": "y".repeat(500)}), &limits)
            .unwrap_err()
            .to_string(),
        "the context has 1221 bytes with the defaults of the template's schema, but the limit is 1000; pass a \
         reference to the data instead, or raise `limits.context`"
    );
}

#[test]
fn defaults_that_multiply_without_end_are_refused() {
    let template = with_schema(json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {"default": {}, "properties": {
            "left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"},
        }}},
    }));
    let limits = Limits::try_from(LimitsValues {
        context: 10_000,
        ..LimitsValues::default()
    })
    .unwrap();
    assert_eq!(
        template
            .prepare_context(json!({}), &limits)
            .unwrap_err()
            .to_string(),
        "the defaults of the template's schema amount to more than 10000 bytes; shorten them, or raise \
         `limits.context`"
    );
}

#[test]
fn references_may_go_round_in_a_circle() {
    let template = with_schema(json!({
        "properties": {"a": {"$ref": "#/$defs/one"}},
        "$defs": {"one": {"$ref": "#/$defs/two"}, "two": {"properties": {"b": {"default": 1}, "a": {"$ref": "#/$defs/one"}}}},
    }));
    let context = template
        .prepare_context(json!({"a": {"a": {}}}), &Limits::default())
        .unwrap();
    assert_eq!(context, json!({"a": {"a": {"b": 1}, "b": 1}}));
}

#[test]
fn references_are_pointers_in_a_uri() {
    let template = with_schema(json!({
        "properties": {"a": {"$ref": "#/$defs/one%20two~1three"}, "c": {"$ref": "#"}},
        "$defs": {"one two/three": {"default": 1}},
    }));
    let mut context = json!({"c": {}});
    super::super::defaults::fill_defaults(template.context_schema().unwrap(), &mut context, 100).unwrap();
    assert_eq!(context, json!({"a": 1, "c": {"a": 1}}));
}

#[test]
fn items_are_those_after_the_prefix() {
    let template = with_schema(json!({"properties": {"list": {
        "prefixItems": [{"type": "object"}], "items": {"properties": {"count": {"default": 1}}},
    }}}));
    let context = template
        .prepare_context(json!({"list": [{}, {}]}), &Limits::default())
        .unwrap();
    assert_eq!(context, json!({"list": [{}, {"count": 1}]}));
}

#[test]
fn a_value_that_is_there_keeps_its_value_even_if_it_is_null() {
    let template = with_schema(json!({"properties": {"a": {"default": 1}}}));
    let context = template
        .prepare_context(json!({"a": null}), &Limits::default())
        .unwrap();
    assert_eq!(context, json!({"a": null}));
}

#[test]
fn defaults_are_validated_too() {
    let template = with_schema(json!({"properties": {"a": {"default": "one", "type": "integer"}}}));
    assert_eq!(
        template
            .prepare_context(json!({}), &Limits::default())
            .unwrap_err()
            .to_string(),
        "`/a` does not fit the template's schema: \"one\" is not of type \"integer\""
    );
}

#[test]
fn a_report_about_a_large_context_stays_short() {
    let template = with_schema(json!({"properties": {"list": {"items": {"type": "integer"}}}}));
    let wrong = json!({"list": vec!["x".repeat(1_000); 200]});
    let faults = template.prepare_context(wrong, &Limits::default()).unwrap_err();
    assert_eq!(
        (faults.as_slice().len(), faults.as_slice()[50].as_str()),
        (51, "and 150 more faults")
    );
    assert!(
        faults.as_slice()[0].ends_with("is not of type \"integer\""),
        "{faults}"
    );
    assert!(faults.to_string().len() < 25_000);
}

#[test]
fn a_deep_context_is_refused() {
    let template = Template::builder("x")
        .step(StepBuilder::new("a", "h"))
        .build()
        .unwrap();
    let deep = |levels| json!({"a": (2..levels).fold(json!([]), |inner, _| json!([inner]))});
    assert!(template.prepare_context(deep(100), &Limits::default()).is_ok());
    assert_eq!(
        template
            .prepare_context(deep(101), &Limits::default())
            .unwrap_err()
            .to_string(),
        "the context is nested more than 100 levels deep; make it flatter, or pass it as a text"
    );
}

#[test]
fn a_schema_refers_to_itself_only() {
    refused(
        "name: x\ncontext_schema: { $ref: 'https://schemas.example/a.json' }\nsteps: [{ name: a, handler: h }]\n",
        "line 2: `context_schema` is no JSON Schema: Resource 'https://schemas.example/a.json' is not present in a \
         registry and retrieving it failed: `resolve-http` feature or a custom resolver is required to resolve external \
         schemas via HTTP; a reference names a part of the schema itself, such as `#/$defs/name`",
    );
    refused(
        "name: x\ncontext_schema: { $ref: '#/$defs/a' }\nsteps: [{ name: a, handler: h }]\n",
        "line 2: `context_schema` is no JSON Schema: Pointer '/$defs/a' does not exist; a reference names a part of the \
         schema itself, such as `#/$defs/name`",
    );
}
