//! `cargo xtask deny`: holds what the program is made of against `deny.toml`.

use std::process::ExitCode;

use crate::run::{cargo, ensure_tool, exit, is_quietly_done};

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    ensure_tool("deny", None)?;
    let mut deny = cargo(["deny", "--locked", "check", "bans", "licenses", "sources"]);
    if is_quietly_done(cargo(["deny", "--locked", "fetch", "db"])) {
        deny.arg("advisories");
    } else {
        println!("==> the database of advisories cannot be reached: they are not looked at");
    }
    exit(deny)
}
