//! `tasker serve`, as a person starts it and clients reach it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{Ended, Place};

/// The longest that any answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service that is ended with its test.
pub(crate) struct Service {
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
}

impl Service {
    /// Starts `tasker serve` on a free port, with these options.
    pub(crate) fn start(place: &Place, options: &[&str]) -> Self {
        let arguments = [&["serve", "--set", "server.bind=127.0.0.1:0"], options].concat();
        let mut child = place.tasker(&arguments).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut complained = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut complained);
            panic!("`tasker serve` said {line:?}\n{complained}");
        });
        let url = said["url"].as_str().unwrap();
        let address = url.trim_start_matches("http://").split('/').next().unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    /// Sends a request and returns the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.ask_with(method, path, &[], body)
    }

    /// Sends a request with these headers and returns the status and the body.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> (u16, Value) {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Sends SIGTERM and returns what was logged.
    pub(crate) fn logged(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut text = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        self.child.wait().unwrap();
        text
    }

    /// Sends SIGTERM and returns the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const HELLO: &str = "name: hello\nsteps: [{ name: wait, handler: sleep, config: { seconds: 0 } }]\n";

fn with_templates() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("templates")).unwrap();
    place.write("templates/hello.yaml", HELLO);
    place.write("tasker.toml", "[engine]\ntask_config_directory = \"templates\"\n");
    place
}

#[test]
fn it_answers_and_ends_when_it_is_told_to() {
    let place = with_templates();
    for options in [&[][..], &["--api-only"]] {
        let service = Service::start(&place, options);
        assert_eq!(service.ask("GET", "/health/live", None).0, 200);
        let (status, handlers) = service.ask("GET", "/tasker/handlers", None);
        assert_eq!((status, &handlers["total_count"]), (200, &Value::from(1)));
        assert_eq!(service.stop(), Some(0));
    }
}

/// Returns what `tasker serve` refuses to begin with.
#[track_caller]
fn refused(place: &Place, options: &[&str]) -> Value {
    let arguments = [&["serve"], options].concat();
    let ended: Ended = place.run(&arguments);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    ended.said["error"].clone()
}

#[test]
fn an_address_that_others_reach_needs_authentication() {
    let place = Place::new();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let error = refused(&place, &["--set", &format!("server.bind={address}")]);
        assert_eq!(error["code"], "exposed");
        assert_eq!(
            error["message"],
            format!(
                "`{address}` can be reached by other machines, and callers need not say who they are; configure `auth`, \
                 bind to 127.0.0.1, or say `--insecure`"
            )
        );
    }
    let service = Service::start(&place, &["--insecure", "--set", "server.bind=0.0.0.0:0"]);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn templates_that_cannot_run_are_told_at_the_start() {
    let place = with_templates();
    place.write(
        "templates/other.yaml",
        "name: other\nsteps: [{ name: a, handler: nobody_has_it }]\n",
    );
    place.write("templates/same.yaml", HELLO);
    let error = refused(&place, &[]);
    assert_eq!(error["message"], "2 templates cannot be served");
    let faults: Vec<_> = error["faults"].as_array().unwrap().iter().collect();
    assert!(faults[0]["message"].as_str().unwrap().contains("nobody_has_it"));
    assert_eq!(
        faults[1]["message"],
        "the handler `default_system.hello@0.1.0` is registered already; use `replace` to put another in its place"
    );
    std::fs::remove_file(place.path("templates/same.yaml")).unwrap();
    // Where no steps run it need not be known what runs them.
    assert_eq!(Service::start(&place, &["--api-only"]).stop(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_told() {
    let place = Place::new();
    let service = Service::start(&place, &["--api-only"]);
    let error = refused(&place, &["--set", &format!("server.bind={}", service.address)]);
    assert_eq!(error["code"], "bind");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("`{}` cannot be listened on: ", service.address)),
        "{message}"
    );
}

#[test]
fn who_may_what_is_checked_at_the_start_and_at_each_request() {
    let place = Place::new();
    place.write(
        "tasker.toml",
        "[auth]\nauthentication_enabled = true\nauthenticator = \"jwt\"\nauthorization_enabled = true\n\
         coordinator = \"rbac\"\njwt.keys = [{ algorithm = \"HS256\", file = \"key\" }]\nroles.ops.permissions = [\"tasker.handler:idnex\"]\n",
    );
    place.write("key", "too short\n");
    let error = refused(&place, &[]);
    assert_eq!(error["code"], "auth");
    assert_eq!(error["message"], "the configuration of `auth` cannot be used");
    let faults = error["faults"].as_array().unwrap();
    let told: Vec<_> = faults
        .iter()
        .map(|fault| fault["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "`auth.roles.ops.permissions` has `tasker.handler:idnex`, which is neither `*`, nor a permission such as \
             `tasker.task:show` or `tasker.task:*`; did you mean `tasker.handler:index`?",
            "`auth.jwt.keys[0]` is a secret of 9 bytes, but it must have at least 32",
        ]
    );
    place.write("key", &"k".repeat(32));
    let role = "auth.roles={ ops = { permissions = [\"*\"] } }";
    // Who asks callers may be reached by others.
    let options = ["--api-only", "--set", role, "--set", "server.bind=0.0.0.0:0"];
    let service = Service::start(&place, &options);
    assert_eq!(service.ask("GET", "/health/live", None).0, 200);
    let (status, problem) = service.ask("GET", "/tasker/handlers", None);
    assert_eq!((status, &problem["code"]), (401, &Value::from("unauthenticated")));
    assert_eq!(service.stop(), Some(0));
}
