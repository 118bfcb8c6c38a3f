use clap::CommandFactory;

use super::*;

#[track_caller]
fn parse(line: &str) -> Cli {
    Cli::try_parse_from(line.split_whitespace()).unwrap()
}

#[track_caller]
fn refused(line: &str, part: &str) {
    let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    #[track_caller]
    fn check(command: &clap::Command) {
        if command.get_subcommands().next().is_none() || command.get_name() == "tasker" {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Examples:\n  tasker "), "{}", command.get_name());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn common_options_stand_anywhere() {
    for line in [
        "tasker --json --data-dir d run t.yaml",
        "tasker run --json t.yaml --data-dir d",
        "tasker run t.yaml --data-dir d --json",
    ] {
        let cli = parse(line);
        assert!(
            cli.common.json && cli.common.data_dir == Some("d".into()),
            "{line}"
        );
    }
    assert!(parse("tasker task list -q").common.quiet);
}

#[test]
fn settings_are_split_at_the_first_equals_sign() {
    let cli = parse("tasker resume --set database.url=sqlite:a=b --set limits.context=5");
    let expected = [("database.url", "sqlite:a=b"), ("limits.context", "5")];
    assert_eq!(
        cli.common.settings,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    refused("tasker resume --set lease=5", "write SECTION.KEY=VALUE");
    refused("tasker resume --set a.b", "write SECTION.KEY=VALUE");
}

#[test]
fn what_is_wrong_is_refused_with_code_2() {
    refused("tasker bogus", "unrecognized subcommand 'bogus'");
    refused("tasker run", "<TEMPLATE>");
    refused(
        "tasker run t.yaml --priority 40000",
        "write a whole number from -32768 to 32767",
    );
    refused(
        "tasker run t.yaml --key=",
        "a value is required for '--key <KEY>'",
    );
    refused(
        "tasker task list --state done",
        "possible values: pending, in_progress",
    );
    for limit in ["0", "many", "-1", "4294967296"] {
        refused(
            &format!("tasker task list --limit={limit}"),
            "write a whole number from 1 to 4294967295",
        );
    }
    refused(
        "tasker task list --namespace 1x",
        "`1x` must begin with a letter (A-Z, a-z)",
    );
    refused("tasker task resolve 01 --result 1", "<STEP>");
    refused(
        "tasker graph show t.yaml --format svg",
        "possible values: text, mermaid, dot",
    );
    refused("tasker graph check", "<TEMPLATE>...");
}

#[test]
fn priorities_may_be_negative() {
    let Command::Run(run) = parse("tasker run t.yaml --priority -3 --bypass a --bypass b").command else {
        panic!("not a run");
    };
    assert_eq!(
        (run.priority, run.bypass),
        (-3, vec!["a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn a_line_that_is_wrong_still_says_how_it_wants_to_be_answered() {
    let manner = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        Manner::of(&words)
    };
    let expected = |json, color| Manner { json, color };
    for (line, answer) in [
        ("tasker bogus", expected(false, ColorChoice::Auto)),
        (
            "tasker --json bogus --color=never",
            expected(true, ColorChoice::Never),
        ),
        (
            "tasker bogus --color always x",
            expected(false, ColorChoice::Always),
        ),
        ("tasker bogus --color pink", expected(false, ColorChoice::Auto)),
        (
            "tasker bogus -- --json --color never",
            expected(false, ColorChoice::Auto),
        ),
    ] {
        assert_eq!(manner(line), answer, "{line}");
    }
}
