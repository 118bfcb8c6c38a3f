"""Checks the HTTP API of a running `tasker serve` from outside: `cargo xtask api` runs this.

1. A client that another program generates from the OpenAPI description, as it is served, creates, follows and mends a task.
2. schemathesis sends what the description permits and forbids to every operation, and judges the answers.
"""

import argparse
import base64
import hashlib
import hmac
import importlib
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
# The longest that anything may take before a check gives up, in seconds.
PATIENCE = 60
# The longest that all requests of schemathesis may take, in seconds.
BOUND = 900


def bin_directory():
    """Where the programs lie that were installed beside this Python."""
    return pathlib.Path(sys.executable).parent


def program(name):
    """One of these programs."""
    return str(bin_directory() / name)


def token(secret):
    """A JSON Web Token of an administrator for an hour."""

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {"sub": "checker", "roles": ["admin"], "exp": int(time.time()) + 3600}
    signed = ".".join(part(json.dumps(value).encode()) for value in ({"alg": "HS256", "typ": "JWT"}, claims))
    return signed + "." + part(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))


class Service:
    """A `tasker serve` in a directory of its own, which is ended with the block."""

    def __init__(self, tasker, place):
        shutil.copytree(HERE / "templates", place / "templates")
        shutil.copy(HERE / "tasker.toml", place)
        self.log = open(place / "log", "w")
        secret = secrets.token_hex(32)
        self.token = token(secret)
        self.process = subprocess.Popen(
            [tasker, "--json", "serve", "--set", "server.bind=127.0.0.1:0"],
            cwd=place, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, "API_CHECK_SECRET": secret},
        )
        said = self.process.stdout.readline()
        if not said:
            sys.exit("`tasker serve` did not start: " + (place / "log").read_text())
        self.url = json.loads(said)["url"]
        self.origin = "/".join(self.url.split("/")[:3])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.code = self.process.wait(timeout=PATIENCE)
        self.log.close()


def follow(place, service, description):
    """Creates a task with a generated client, follows it into its error, mends it, and sees it complete."""
    package = "tasker_client"
    config = place / "client.json"
    # The generator knows no images.
    config.write_text(json.dumps({"content_type_overrides": {"image/png": "application/octet-stream"}}))
    subprocess.run(
        [program("openapi-python-client"), "generate", "--path", description, "--meta", "none",
         "--output-path", place / package, "--config", config, "--fail-on-warning"],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PATH": f"{bin_directory()}{os.pathsep}{os.environ['PATH']}"},
    )
    sys.path.insert(0, str(place))
    client = importlib.import_module(package).AuthenticatedClient(
        base_url=service.origin, token=service.token, raise_on_unexpected_status=True
    )
    models = importlib.import_module(f"{package}.models")

    def operation(tag, name):
        return importlib.import_module(f"{package}.api.{tag}.{name}").sync

    context = models.NewTaskRequestContext.from_dict({"order": 7})
    wanted = models.NewTaskRequest(name="process_refund", namespace="payments", context=context)
    task = operation("tasks", "tasks_create")(client=client, body=wanted, idempotency_key="refund-7").task
    again = operation("tasks", "tasks_create")(client=client, body=wanted, idempotency_key="refund-7").task
    assert again.task_id == task.task_id, "a repeated request made another task"

    def until(state):
        end = time.monotonic() + PATIENCE
        while True:
            now = operation("tasks", "tasks_show")(task.task_id, client=client).task
            if now.state == state:
                return now
            assert time.monotonic() < end, f"the task is {now.state}, not {state}"
            time.sleep(0.05)

    until("error")
    why = operation("tasks", "tasks_explain")(task.task_id, client=client)
    assert "pay" in why.text, why.text
    step = operation("workflow_steps", "workflow_steps_show")(task.task_id, "pay", client=client).workflow_step
    assert step.state == "error", step.state
    (place / "templates" / "paid").touch()
    operation("tasks", "tasks_retry")(task.task_id, client=client, body=models.Because(reason="the bank is back"))
    done = until("complete")
    assert done.completion_percentage == 100, done.completion_percentage
    print(f"a generated client created, followed and mended a task of {len(done.workflow_steps)} steps")


def judge(place, service, description, examples, seed):
    """Has schemathesis send its requests; returns whether all answers were as described."""
    arguments = [
        program("schemathesis"), "--config-file", HERE / "schemathesis.toml", "run", description, "--url", service.origin,
        "--max-examples", str(examples), "--seed", str(seed), "--request-timeout", "10",
        "--report", "ndjson", "--report-dir", place / "report", "--no-color",
    ]
    return subprocess.run(
        arguments, cwd=place, timeout=BOUND, env={**os.environ, "API_CHECK_TOKEN": service.token}
    ).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasker", required=True, help="the program to check")
    parser.add_argument("--examples", type=int, default=25, help="how many requests of each kind an operation gets")
    parser.add_argument("--seed", type=int, default=1, help="what the requests are made of")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tasker-api-") as directory:
        place = pathlib.Path(directory)
        description = place / "openapi.json"
        with Service(arguments.tasker, place) as service:
            with urllib.request.urlopen(f"{service.url}/api-docs/openapi.json", timeout=PATIENCE) as served:
                description.write_bytes(served.read())
            follow(place, service, description)
            is_right = judge(place, service, description, arguments.examples, arguments.seed)
        if service.code != 0:
            sys.exit(f"`tasker serve` ended with {service.code}: {(place / 'log').read_text()}")
    if not is_right:
        sys.exit("an answer was not as the description says")


if __name__ == "__main__":
    main()
