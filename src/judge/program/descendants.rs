//! The processes that descend from one process, read from `/proc`.

use rustix::process::Pid;

/// Every living descendant of `root`, parents before children, and those that
/// have ended but were not waited for yet.
///
/// The kernel may leave some out while processes begin and end, so whoever
/// wants all of them looks again until nothing new is found. Outside Linux there is
/// nothing to read, and the answer is empty.
pub fn descendants(root: Pid) -> Vec<Pid> {
    linux::descendants(root)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::path::Path;

    use rustix::process::Pid;

    pub fn descendants(root: Pid) -> Vec<Pid> {
        // A program that forks and leaves without pause is only caught by one
        // who looks quickly. The children file of a process costs some
        // microseconds, a walk over all processes of the machine some
        // milliseconds; but not every kernel has the file.
        if Path::new("/proc/thread-self/children").exists() {
            by_children(root)
        } else {
            by_parent(root)
        }
    }

    pub fn by_children(root: Pid) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut next = Some(root);
        while let Some(pid) = next {
            for child in children(pid) {
                // A process that changes its parent meanwhile is met twice.
                if child != root && !found.contains(&child) {
                    found.push(child);
                }
            }
            let after = found.iter().position(|&known| known == pid).map_or(0, |index| index + 1);
            next = found.get(after).copied();
        }
        found
    }

    /// The children of all threads of a process.
    fn children(pid: Pid) -> Vec<Pid> {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
        threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|line| line.split_whitespace().filter_map(pid_of).collect::<Vec<_>>())
            .collect()
    }

    pub fn by_parent(root: Pid) -> Vec<Pid> {
        let all: Vec<(Pid, Pid)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| pid_of(entry.file_name().to_str()?))
            .filter_map(|pid| Some((pid, parent(pid)?)))
            .collect();
        let mut found = vec![root];
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            next += 1;
            for &(child, parent) in &all {
                if parent == pid && !found.contains(&child) {
                    found.push(child);
                }
            }
        }
        found.remove(0);
        found
    }

    fn parent(pid: Pid) -> Option<Pid> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may itself hold spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        pid_of(rest.split_whitespace().nth(1)?)
    }

    fn pid_of(text: &str) -> Option<Pid> {
        text.parse().ok().and_then(Pid::from_raw)
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    use rustix::process::Pid;

    pub fn descendants(_: Pid) -> Vec<Pid> {
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_and_their_children_are_found_both_ways() {
        // `read` keeps the shells there until the test closes their stdin.
        let mut shell = Command::new("sh")
            .args(["-c", "sh -c 'echo ready; read x; :'; read x"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let own = rustix::process::getpid();
        let outer = Pid::from_child(&shell);

        let below = linux::by_children(outer);
        assert_eq!(below.len(), 1, "{below:?}");
        assert_eq!(linux::by_parent(outer), below);
        for all in [linux::by_children(own), linux::by_parent(own)] {
            assert!(all.contains(&outer) && all.contains(&below[0]) && !all.contains(&own));
        }

        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
