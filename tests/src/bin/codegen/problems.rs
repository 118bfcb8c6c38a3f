//! docs/problems.md: what the service can answer instead of what was asked for.

use std::fmt::Write as _;

use tasker_server::Code;

pub(crate) fn page() -> anyhow::Result<String> {
    let mut text = String::from(BEGIN);
    text.push_str("| status | code | means |\n|---|---|---|\n");
    for code in Code::ALL {
        let doc = super::lines(code.doc()).join(" ");
        writeln!(text, "| {} | `{code}` | {doc} |", code.status())?;
    }
    Ok(text)
}

const BEGIN: &str = "\
<!-- Written by `cargo xtask codegen` from the catalogue of tasker-server. -->

# Problems

A request that is not carried out is answered with problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), as `application/problem+json`:

```json
{
  \"type\": \"urn:tasker:problem:unknown_handler\",
  \"title\": \"No such handler\",
  \"status\": 404,
  \"code\": \"unknown_handler\",
  \"detail\": \"there is no handler `refunds` in the namespace `payments`; did you mean `refund`?\",
  \"nearest\": [\"refund\"]
}
```

`code` is stable: programs may rely on it.
`detail` is for people, and may change.
Some problems have further members, such as `nearest` above.

";
