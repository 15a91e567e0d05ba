//! Real servers before the judge: nginx and HAProxy, rightly configured, pass the
//! checks of every stage that they can express, so that the checks ask for what is
//! right and not for what Pingora happens to do. With a common mistake in their
//! configuration they do not pass.
//!
//! For the stages that are told what to do by variables, the configurations are in
//! `real/nginx.sh` and `real/haproxy.sh`. From stage 10 on the judge writes a file, which is
//! read here ([`file`]) and turned into theirs ([`nginx`], [`haproxy`]).
//!
//! Neither can express stage 17, which asks for metrics by name: nginx as it is given away has
//! none in Prometheus' format, and HAProxy's exporter has names and labels of its own. Nor
//! stage 18: both read their files when they are told to, and not when these change.

mod file;
mod haproxy;
mod nginx;
mod tls;

use std::fs;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pingora_lab::judge::stages::STAGES;
use serde_json::Value;

use crate::support::{Program, say};

/// The seeds with which each right configuration is judged.
const SEEDS: Range<u64> = 1..4;

/// How often the judge may say that it could show nothing, on a busy machine.
const TRIES: usize = 3;

/// A server that this project has not written.
struct Server {
    /// Its program, and the name of its script.
    name: &'static str,
    /// If this variable is set, the server must be there.
    require: &'static str,
    stages: &'static [Stage],
}

/// What a stage's checks say of a server.
struct Stage {
    id: &'static str,
    /// The checks that no configuration can pass, and why. They are held to fail: one
    /// that begins to pass has to be struck out.
    cannot: &'static [(&'static str, &'static str)],
    mistakes: &'static [Mistake],
}

/// A mistake in the configuration, and what must come first of it.
struct Mistake {
    name: &'static str,
    check: &'static str,
    diagnosis: &'static str,
}

const fn mistake(name: &'static str, check: &'static str, diagnosis: &'static str) -> Mistake {
    Mistake { name, check, diagnosis }
}

/// What reads the judge's file in place of a server has no words for whoever wrote it.
const BAD_LIMIT: (&str, &str) = ("bad-limit", "the file is read by the test");

/// And for a weight of 0 both have a meaning of their own, or words about their own file.
const BAD_WEIGHT: (&str, &str) = ("zero-refused", "the file is read by the test");

/// Both have one limit, which bytes of a head that is not complete do not begin anew.
const ONE_LIMIT: (&str, &str) = ("slow-drip", "the limit of a pause is that of a whole head");

/// And for a certificate they complain of their own file, which has no such lines.
const BAD_CERTIFICATE: (&str, &str) = ("bad-certificate", "the file is read by the test");

/// And for a policy: a hash is computed where requests are served, by both.
const BAD_POLICY: (&str, &str) = ("bad-policy", "the file is read by the test");
const HASHES_IN_PLACE: (&str, &str) =
    ("others-not-held-up", "it verifies passwords on the thread that serves requests");

/// And for an end that can't be read. A new process of theirs is started by the old one.
const BAD_SHUTDOWN: (&str, &str) = ("bad-shutdown", "the file is read by the test");
const BY_ITSELF: &str = "it starts its successor itself, or takes no other's sockets";
const HAND_OVER: (&str, &str) = ("hand-over", BY_ITSELF);
const NO_FAILURES: (&str, &str) = ("no-failures", BY_ITSELF);

/// Mistakes that are made with both in the same way.
const WEIGHTS: &[Mistake] = &[
    mistake("no-weights", "exact-cycle", "weights-ignored"),
    mistake("by-chance", "exact-cycle", "drawn-by-weight"),
];

/// Nearly all checks begin with one that is right.
const NO_TOKENS: &str = "nginx as it is given away knows nothing of tokens";

const NGINX: Server = Server {
    name: "nginx",
    require: "PINGORA_LAB_REQUIRE_NGINX",
    stages: &[
        Stage {
            id: "01-first-proxy",
            cannot: &[],
            mistakes: &[mistake("path-in-proxy-pass", "forwards", "path-changed")],
        },
        Stage {
            id: "02-round-robin",
            cannot: &[],
            mistakes: &[mistake("by-uri", "spread-sequential", "chosen-by-request")],
        },
        Stage {
            id: "03-health-checks",
            cannot: &[("checks-repeat", "nginx as it is given away has no active health checks")],
            mistakes: &[],
        },
        Stage {
            id: "04-request-headers",
            cannot: &[],
            mistakes: &[
                mistake("client-host", "host", "host-of-the-client"),
                mistake("appends-forwarded-for", "forwarded-for", "spoof-in-list"),
            ],
        },
        Stage {
            id: "05-response-headers",
            cannot: &[],
            mistakes: &[
                mistake("adds-beside", "adds-headers", "backend-value-beside"),
                mistake("not-always", "adds-headers", "header-not-on-every-answer"),
                mistake("own-server", "server-removed", "server-replaced"),
            ],
        },
        Stage {
            id: "06-failures",
            cannot: &[],
            mistakes: &[
                mistake("no-next", "one-refuses", "gives-up-too-soon"),
                mistake("non-idempotent", "post-once", "post-replayed"),
            ],
        },
        Stage {
            id: "07-path-routing",
            cannot: &[("own-checks", "nginx as it is given away has no active health checks")],
            mistakes: &[
                mistake("no-slash", "segment-boundary", "not-a-segment"),
                mistake("path-in-proxy-pass", "query-and-encoding", "prefix-lost"),
            ],
        },
        Stage {
            id: "08-access-log",
            cannot: &[],
            mistakes: &[mistake("no-escape", "no-forged-lines", "line-broken")],
        },
        Stage {
            id: "10-rate-limiting",
            cannot: &[
                ("bounded-memory", "nginx counts in bytes what it remembers, and not in clients"),
                BAD_LIMIT,
            ],
            mistakes: &[
                mistake("key-with-port", "exact-limit", "key-with-port"),
                mistake("no-nodelay", "exact-limit", "held-back"),
                mistake("no-burst", "exact-limit", "limit-too-low"),
                mistake("own-status", "answers-429", "refused-otherwise"),
            ],
        },
        Stage {
            id: "11-weighted",
            cannot: &[
                ("heavy-back", "nginx as it is given away does not look who is back"),
                BAD_WEIGHT,
            ],
            mistakes: WEIGHTS,
        },
        Stage {
            id: "13-consistent-hashing",
            cannot: &[],
            mistakes: &[
                mistake("by-chance", "same-key", "key-ignored"),
                mistake("by-uri", "same-key", "more-than-the-key"),
                mistake("not-consistent", "same-key", "file-order-decides"),
            ],
        },
        Stage {
            id: "14-timeouts-and-pooling",
            cannot: &[ONE_LIMIT],
            mistakes: &[
                mistake("no-limit", "hung-backend", "no-read-limit"),
                mistake("next-after-timeout", "post-not-repeated", "post-sent-again"),
                mistake("no-keepalive", "reuses-connections", "connection-for-each-request"),
            ],
        },
        Stage {
            id: "15-tls-termination",
            cannot: &[BAD_CERTIFICATE],
            mistakes: &[
                mistake("one-certificate", "certificate-by-name", "one-certificate-for-all"),
                mistake("wide-wildcard", "certificate-by-name", "wildcard-too-wide"),
                mistake("old-versions", "tls-versions", "old-version-spoken"),
                mistake("no-http2", "alpn-h2", "h2-not-offered"),
                mistake("believes-the-client", "forwarded-proto", "proto-of-the-client"),
                mistake("moved-301", "redirects", "redirect-status"),
            ],
        },
        Stage {
            id: "16-authentication",
            cannot: &[
                ("good-token", NO_TOKENS),
                ("no-credentials", NO_TOKENS),
                ("expired", NO_TOKENS),
                ("not-yet-valid", NO_TOKENS),
                ("wrong-signature", NO_TOKENS),
                ("alg-none", NO_TOKENS),
                ("other-algorithm", NO_TOKENS),
                ("wrong-audience", NO_TOKENS),
                ("broken-credentials", NO_TOKENS),
                ("as-routes-say", NO_TOKENS),
                ("secrets-unwritten", NO_TOKENS),
                HASHES_IN_PLACE,
                BAD_POLICY,
            ],
            mistakes: &[
                mistake("credential-goes-on", "good-password", "credential-passed-on"),
                mistake("only-its-own-field", "identity-stripped", "spoofed-identity"),
                mistake("underscores", "identity-stripped", "spoofed-look-alike"),
            ],
        },
        Stage {
            id: "19-graceful-upgrade",
            cannot: &[HAND_OVER, NO_FAILURES, BAD_SHUTDOWN],
            mistakes: &[
                mistake("fast-stop", "slow-answers-finish", "exits-at-once"),
                mistake("no-shutdown-timeout", "exits-in-time", "waits-past-limit"),
            ],
        },
    ],
};

const HAPROXY: Server = Server {
    name: "haproxy",
    require: "PINGORA_LAB_REQUIRE_HAPROXY",
    stages: &[
        Stage {
            id: "01-first-proxy",
            cannot: &[],
            mistakes: &[mistake("own-503", "dead-backend", "dead-backend-not-502")],
        },
        Stage {
            id: "02-round-robin",
            cannot: &[],
            mistakes: &[mistake("by-source", "spread-sequential", "sticks-to-client")],
        },
        Stage {
            id: "03-health-checks",
            cannot: &[],
            mistakes: &[
                mistake("no-checks", "checks-repeat", "health-check-never-runs"),
                mistake("own-interval", "checks-repeat", "interval-ignored"),
            ],
        },
        Stage {
            id: "04-request-headers",
            cannot: &[],
            mistakes: &[
                mistake("client-host", "host", "host-of-the-client"),
                mistake("appends-forwarded-for", "forwarded-for", "spoof-in-list"),
            ],
        },
        Stage {
            id: "05-response-headers",
            cannot: &[],
            mistakes: &[mistake("not-after", "errors-carry-them", "error-page-bare")],
        },
        Stage {
            id: "06-failures",
            cannot: &[],
            mistakes: &[
                mistake("no-next", "one-refuses", "gives-up-too-soon"),
                mistake("retries-all", "post-once", "post-replayed"),
            ],
        },
        Stage {
            id: "07-path-routing",
            cannot: &[],
            mistakes: &[
                mistake("path-beg", "segment-boundary", "not-a-segment"),
                mistake("raw-path", "dot-segments", "dot-segments-ignored"),
            ],
        },
        Stage {
            id: "08-access-log",
            cannot: &[],
            mistakes: &[mistake("no-escape", "no-forged-lines", "line-broken")],
        },
        Stage {
            id: "10-rate-limiting",
            cannot: &[
                ("bounded-memory", "HAProxy counts a request by three limits at most"),
                BAD_LIMIT,
            ],
            mistakes: &[
                mistake("counts-refused", "exact-limit", "refusals-count"),
                mistake("own-status", "answers-429", "refused-otherwise"),
                mistake("by-forwarded-for", "exact-limit", "not-limited"),
            ],
        },
        Stage { id: "11-weighted", cannot: &[BAD_WEIGHT], mistakes: WEIGHTS },
        Stage {
            id: "13-consistent-hashing",
            cannot: &[],
            mistakes: &[
                mistake("by-chance", "same-key", "key-ignored"),
                mistake("by-source", "same-key", "one-home-for-all"),
                mistake("map-based", "same-key", "file-order-decides"),
            ],
        },
        Stage {
            id: "14-timeouts-and-pooling",
            cannot: &[ONE_LIMIT],
            mistakes: &[
                mistake("no-limit", "hung-backend", "no-read-limit"),
                mistake("retries-timeouts", "hung-backend", "sent-again-after-timeout"),
                mistake("reuse-safe", "reuses-connections", "connection-for-each-client"),
            ],
        },
        Stage {
            id: "15-tls-termination",
            cannot: &[BAD_CERTIFICATE],
            mistakes: &[
                mistake("one-certificate", "certificate-by-name", "one-certificate-for-all"),
                mistake("strict-sni", "certificate-by-name", "no-name-refused"),
                mistake("no-alpn", "alpn-h2", "h2-not-offered"),
                mistake("always-https", "forwarded-proto", "proto-always-https"),
                mistake("drops-query", "redirects", "location-query-lost"),
            ],
        },
        Stage {
            id: "16-authentication",
            cannot: &[HASHES_IN_PLACE, BAD_POLICY],
            mistakes: &[
                mistake("forbidden", "no-credentials", "refused-otherwise"),
                mistake("no-exp", "expired", "exp-unchecked"),
                mistake("alg-of-the-token", "alg-none", "unsigned-passes"),
                mistake("only-its-own-field", "identity-stripped", "spoofed-identity"),
            ],
        },
        Stage {
            id: "19-graceful-upgrade",
            cannot: &[HAND_OVER, NO_FAILURES, BAD_SHUTDOWN],
            mistakes: &[
                mistake("fast-stop", "slow-answers-finish", "exits-at-once"),
                mistake("no-hard-stop", "exits-in-time", "waits-past-limit"),
            ],
        },
    ],
};

#[test]
fn nginx_passes_where_it_is_right_and_fails_where_it_is_not() {
    if NGINX.is_there() && NGINX.has_its_module() {
        NGINX.judged();
    }
}

#[test]
fn haproxy_passes_where_it_is_right_and_fails_where_it_is_not() {
    if HAPROXY.is_there() {
        HAPROXY.judged();
    }
}

// === impl Server ===

impl Server {
    fn is_there(&self) -> bool {
        let asked = Command::new(self.name)
            .arg("-v")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        self.or_skipped(asked.is_ok(), "is not installed")
    }

    /// Without this module nginx cannot be kept from naming itself.
    fn has_its_module(&self) -> bool {
        let folder = std::env::var("NGINX_MODULES");
        let folder = folder.unwrap_or_else(|_| "/usr/lib/nginx/modules".to_owned());
        let module = Path::new(&folder).join("ngx_http_headers_more_filter_module.so");
        self.or_skipped(module.exists(), "has no headers-more module")
    }

    fn or_skipped(&self, there: bool, why_not: &str) -> bool {
        let Self { name, require, .. } = self;
        if !there {
            assert!(std::env::var_os(require).is_none(), "{require} is set, and {name} {why_not}");
            say(&format!("SKIPPED: {name} {why_not}"));
        }
        there
    }

    fn judged(&self) {
        for stage in self.stages {
            for seed in SEEDS {
                self.passes(stage, seed);
            }
            for (mistake, seed) in stage.mistakes.iter().zip(SEEDS.cycle()) {
                self.fails(stage, mistake, seed);
            }
        }
    }

    /// Every check is passed, but for those that the server can't express.
    fn passes(&self, stage: &Stage, seed: u64) {
        let checks = self.check(stage, "right", seed);
        let run = format!("{}, {}, seed {seed}", self.name, stage.id);
        for check in &checks {
            let cannot = stage.cannot.iter().find(|(id, _)| *id == check.id);
            match cannot {
                None => assert!(check.passed, "{run}: {}", check.whole),
                Some((id, because)) => {
                    assert!(!check.passed, "{run}: {id} is passed, though {because}");
                }
            }
        }
        let unknown = stage.cannot.iter().find(|(id, _)| checks.iter().all(|one| one.id != *id));
        assert!(unknown.is_none(), "{run}: there is no check {unknown:?}");
    }

    /// The first check that is not passed, of those that the server can express, is the one
    /// that the mistake is about.
    fn fails(&self, stage: &Stage, mistake: &Mistake, seed: u64) {
        let checks = self.check(stage, mistake.name, seed);
        let can = |check: &&Check| stage.cannot.iter().all(|(id, _)| *id != check.id);
        let first = checks.iter().filter(can).find(|check| !check.passed);
        let found = first.map(|check| (&*check.id, &*check.diagnosis));
        let run = format!("{}, {}, {}, seed {seed}", self.name, stage.id, mistake.name);
        assert_eq!(found, Some((mistake.check, mistake.diagnosis)), "{run}");
    }

    /// What `pingora-lab check` says of the server. When it is done, nothing of the
    /// server is left.
    fn check(&self, stage: &Stage, fault: &str, seed: u64) -> Vec<Check> {
        for _ in 0..TRIES {
            let checks = self.check_once(stage, fault, seed);
            // Of a mistake it is the first that counts.
            let wrong = |check: &&Check| !check.passed && !check.inconclusive;
            let first = checks.iter().position(|check| wrong(&check));
            let count = first.filter(|_| fault != "right").unwrap_or(checks.len());
            if checks[..count].iter().all(|check| !check.inconclusive) {
                return checks;
            }
        }
        panic!("{}, {}, {fault}, seed {seed}: nothing is shown", self.name, stage.id);
    }

    fn check_once(&self, stage: &Stage, fault: &str, seed: u64) -> Vec<Check> {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, seed) = (folder.path().to_str().expect("UTF-8"), seed.to_string());
        let script =
            format!("{}/tests/lab/judge/real/{}.sh", env!("CARGO_MANIFEST_DIR"), self.name);
        let exe = std::env::current_exe().expect("this test");
        let exe = exe.to_str().expect("UTF-8");
        let told = [("SERVER", self.name), ("FAULT", fault), ("FOLDER", path)];
        let told = told.map(|(name, value)| format!("REAL_{name}={value}"));
        let command = if stage.is_told_by_a_file() {
            let test = ["judge::real::becomes_a_server", "--exact", "--ignored", "--nocapture"];
            let env = std::iter::once("env").chain(told.iter().map(String::as_str));
            shell_words::join(env.chain([exe]).chain(test))
        } else {
            shell_words::join(["sh", &script, stage.id, fault, path, "{listen}", "{backends}"])
        };
        let args = ["check", stage.id, "--seed", &seed, "--format", "json", "--cmd", &command];
        let (code, stdout, stderr) = Program::run(args);
        assert_eq!(left_of(path), Vec::<String>::new(), "{command}");
        let told = serde_json::from_str::<Value>(&stdout);
        let told = told.unwrap_or_else(|error| panic!("{error}, code {code}: {stdout}{stderr}"));
        let checks = told["checks"].as_array().map(|all| all.iter().map(Check::read).collect());
        let checks: Vec<_> = checks.unwrap_or_default();
        assert_eq!(code == 0, checks.iter().all(|check| check.passed), "code {code}: {stdout}");
        let wanted = STAGES.iter().find(|one| one.id == stage.id);
        let wanted = wanted.expect("a stage of the course").checks.iter().map(|check| check.id);
        assert!(checks.iter().map(|check| &*check.id).eq(wanted), "{stdout}{stderr}");
        checks
    }
}

impl Stage {
    fn is_told_by_a_file(&self) -> bool {
        self.id >= "09"
    }
}

/// Not a test: what the judge runs in place of a server. It writes the configuration that says
/// the same as the judge's file, and becomes the server.
#[test]
#[ignore = "the judge runs it for other tests"]
fn becomes_a_server() {
    let Ok(server) = std::env::var("REAL_SERVER") else { return };
    let told = |name: &str| std::env::var(name).expect("the test above says it");
    let (fault, folder) = (told("REAL_FAULT"), told("REAL_FOLDER"));
    let file = file::File::told();
    // Several of them may run at a time.
    let folder = tempfile::Builder::new().tempdir_in(folder).expect("a folder").keep();
    let path = folder.join("server.conf");
    let (text, args): (_, &[&str]) = match server.as_str() {
        "nginx" => (nginx::configuration(&file, &fault, &folder), &["-e", "stderr", "-c"]),
        _ => (haproxy::configuration(&file, &fault, &folder), &["-db", "-f"]),
    };
    fs::write(&path, text).expect("the configuration is written");
    let mut command = Command::new(&server);
    if file.shutdown.is_some() && fault != "fast-stop" {
        // Both take SIGTERM for the fast way out, and have another signal for the other.
        let signal = if server == "nginx" { "QUIT" } else { "USR1" };
        // A wait that is interrupted knows nothing of the child, which may have ended by then:
        // the next one tells how.
        let script = format!(
            "trap 'told=yes; kill -{signal} $child' TERM\n\"$@\" & child=$!\n\
             wait $child; code=$?\n\
             while [ \"$told\" ]; do told=; wait $child; code=$?; done\nexit $code"
        );
        command = Command::new("sh");
        command.args(["-c", &script, "sh", &server]);
    }
    let error = command.args(args).arg(&path).exec();
    panic!("it was not started: {error}");
}

/// What is said of one check.
struct Check {
    id: String,
    passed: bool,
    inconclusive: bool,
    diagnosis: String,
    whole: Value,
}

// === impl Check ===

impl Check {
    fn read(whole: &Value) -> Self {
        let text = |name: &str| whole[name].as_str().unwrap_or_default().to_owned();
        let verdict = text("verdict");
        Self {
            id: text("id"),
            passed: verdict == "pass",
            inconclusive: verdict == "inconclusive",
            diagnosis: text("diagnosis"),
            whole: whole.clone(),
        }
    }
}

/// The living processes whose command names this folder, which no other test has.
fn left_of(folder: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let commands = commands.map(|words| String::from_utf8_lossy(&words).replace('\0', " "));
    commands.filter(|command| command.contains(folder)).collect()
}
