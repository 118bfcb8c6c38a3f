//! `tasker man` and `tasker completions`.

use std::process::Command;

use crate::place::{FAILING, Place};

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    let ran = place.run("man --dir man1 --json").exits(0).json();
    let files: Vec<_> = ran["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| file.as_str())
        .collect();
    for name in [
        "tasker",
        "tasker-run",
        "tasker-task",
        "tasker-task-watch",
        "tasker-new-project",
        "tasker-man",
    ] {
        let file = format!("man1/{name}.1");
        assert!(files.contains(&file.as_str()), "{files:?}");
        let page = std::fs::read_to_string(place.path(&file)).unwrap();
        assert!(page.contains(&format!(".TH {} 1", name.to_uppercase())), "{page}");
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
        let has_examples = !["tasker-task"].contains(&name);
        assert_eq!(page.contains(".SH EXAMPLES\n.nf\n"), has_examples, "{page}");
    }
    place.run("man --dir man1 --quiet").exits(0);
}

#[test]
fn one_page_is_written_to_standard_output() {
    let place = Place::new();
    place
        .run("man")
        .exits(0)
        .says(".TH TASKER 1")
        .says("tasker\\-run(1)")
        .says(".SH \"EXIT CODES\"");
    place
        .run("man task show")
        .exits(0)
        .says(".TH TASKER-TASK-SHOW 1")
        .says("\\-\\-history");
    place
        .run("man task shaw")
        .exits(2)
        .complains("error: `tasker task` has no command `shaw`\n  help: did you mean `show`?\n");
    // Whoever renders them finds nothing to complain about.
    let groff = Command::new("groff")
        .args(["-man", "-ww", "-Tutf8", "-z"])
        .arg("-")
        .output();
    if groff.is_ok() {
        place.run("man --dir man1").exits(0);
        for page in std::fs::read_dir(place.path("man1")).unwrap() {
            let page = page.unwrap().path();
            let output = Command::new("groff")
                .args(["-man", "-ww", "-Tutf8", "-z"])
                .arg(&page)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", page.display());
        }
    }
}

/// Asks as a shell does: the line so far, of which the last word is completed.
fn completed(place: &Place, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let output = place
        .command(["--"].into_iter().chain(words.iter().copied()))
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|word| word.trim_end().to_owned())
        // Options can always come.
        .filter(|word| !word.starts_with('-'))
        .collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn commands_and_values_are_completed() {
    let place = Place::with("templates/failing.yaml", FAILING);
    assert_eq!(completed(&place, "tasker task ret"), ["retry"]);
    assert_eq!(
        completed(&place, "tasker task show "),
        NOTHING,
        "nothing is made by asking"
    );
    assert!(!place.path("data").exists());

    place.run("run templates/failing.yaml").exits(1);
    let id = place.newest_task();
    assert_eq!(completed(&place, "tasker task show "), [id.as_str()]);
    assert_eq!(
        completed(&place, &format!("tasker resume {}", &id[..5])),
        [id.as_str()]
    );
    assert_eq!(
        completed(&place, "tasker task show --data-dir elsewhere "),
        NOTHING
    );
    assert_eq!(completed(&place, &format!("tasker task retry {id} b")), ["bad"]);
    assert_eq!(completed(&place, "tasker task list --state can"), ["cancelled"]);

    assert_eq!(
        completed(&place, "tasker run templates/f"),
        ["templates/failing.yaml"]
    );
    place.write("tasker.toml", "[engine]\ntask_config_directory = \"templates\"\n");
    assert_eq!(completed(&place, "tasker run fai"), ["failing"]);
    assert_eq!(
        completed(&place, "tasker graph show default_system.f"),
        ["default_system.failing"]
    );
    assert_eq!(
        completed(&place, "tasker run x --set execution.lease"),
        ["execution.lease_seconds="]
    );
}

#[test]
fn the_script_of_a_shell_asks_this_program() {
    let place = Place::new();
    let script = place.run("completions bash").exits(0).stdout;
    place.write("script.bash", &script);
    let asked = "source script.bash; COMP_WORDS=(tasker task wat); COMP_CWORD=2; \
                 _clap_complete_tasker tasker wat task; echo \"${COMPREPLY[@]}\"";
    let mut path = std::ffi::OsString::from(
        std::path::Path::new(env!("CARGO_BIN_EXE_tasker"))
            .parent()
            .unwrap(),
    );
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let Ok(output) = Command::new("bash")
        .args(["--norc", "-c", asked])
        .current_dir(place.path(""))
        .env("PATH", path)
        .output()
    else {
        return;
    };
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "watch",
        "{output:?}"
    );
}
