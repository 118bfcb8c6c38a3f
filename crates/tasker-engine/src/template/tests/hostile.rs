//! Files that are made to hurt: deep, wide, or larger than they look.

use super::*;

#[test]
fn a_deep_file_is_refused_and_needs_no_stack() {
    let too_deep = |text: &str, line: u32| {
        refused(
            text,
            &format!("line {line}: the file is nested more than 64 levels deep; make it flatter"),
        );
    };
    too_deep(&format!("name: x\nsteps: {}", "[".repeat(1_000_000)), 2);
    too_deep(
        &format!("name: x\nsteps: {}{}", "[".repeat(100), "]".repeat(100)),
        2,
    );
    too_deep(
        &format!("{}{}", "{\"a\": ".repeat(100_000), "}".repeat(100_000)),
        1,
    );
    too_deep(&format!("name: x\nsteps:\n{}", "- ".repeat(100_000)), 3);
    let indented: String = (0..2_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    too_deep(&indented, 65);
}

#[test]
fn a_file_may_be_as_deep_as_the_limit() {
    let config = format!("{}1{}", "{a: ".repeat(61), "}".repeat(61));
    let template = loads(&format!(
        "name: x\nsteps: [{{ name: a, handler: h, config: {config} }}]\n"
    ));
    let text = serde_json::to_string(&*template).unwrap();
    assert_eq!(serde_json::from_str::<Template>(&text).unwrap(), *template);
}

#[test]
fn aliases_do_not_hide_depth() {
    let mut text = "name: x\nl0: &l0 a\n".to_owned();
    for level in 1..50 {
        let (open, close) = ("[".repeat(30), "]".repeat(30));
        text.push_str(&format!("l{level}: &l{level} {open}*l{}{close}\n", level - 1));
    }
    refused(
        &text,
        "line 5: the file is nested more than 64 levels deep; make it flatter",
    );
}

#[test]
fn aliases_do_not_hide_size() {
    let mut text = "name: x\nl0: &l0 [a]\n".to_owned();
    for level in 1..10 {
        let items = format!("*l{}, ", level - 1).repeat(10);
        text.push_str(&format!("l{level}: &l{level} [{items}]\n"));
    }
    refused(
        &text,
        "line 7: the file's aliases (`*name`) repeat so much that it is too large; write less, or less often",
    );
}

#[test]
fn an_alias_of_itself_is_refused() {
    refused(
        "name: &a [*a]\n",
        "line 1: an alias (`*name`) stands within the value that it names; write the value out",
    );
}

#[test]
fn a_few_aliases_may_repeat_much() {
    let long = "x".repeat(20_000);
    let uses: String = (0..90)
        .map(|step| format!("  - {{ name: s{step}, handler: h, config: *shared }}\n"))
        .collect();
    let first = format!("  - {{ name: first, handler: h, config: &shared {{ text: {long} }} }}\n");
    assert_eq!(
        loads(&format!("name: x\nsteps:\n{first}{uses}")).steps().len(),
        91
    );
}
