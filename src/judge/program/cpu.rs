//! The CPU time that a program has taken, thread by thread, as `/proc` tells it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::process::Pid;

use super::descendants::descendants;

/// User and system time that a program's processes have taken up to a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuTime {
    /// Of each process, with its threads that have ended.
    processes: BTreeMap<i32, Duration>,
    /// Of each thread that lives.
    threads: BTreeMap<i32, Duration>,
}

// === impl CpuTime ===

impl CpuTime {
    /// What all descendants of the guard have taken so far; none where the system does not
    /// say it.
    pub(super) fn of(guard: Pid) -> Option<Self> {
        let (mut processes, mut threads) = (BTreeMap::new(), BTreeMap::new());
        for process in descendants(guard) {
            let folder = format!("/proc/{}", process.as_raw_nonzero());
            let Some(taken) = stat(&format!("{folder}/stat")) else { continue };
            processes.insert(process.as_raw_nonzero().get(), taken);
            for thread in fs::read_dir(format!("{folder}/task")).into_iter().flatten().flatten() {
                let id = thread.file_name().to_str().and_then(|name| name.parse().ok());
                let taken = stat(&thread.path().join("stat").to_string_lossy());
                threads.extend(id.zip(taken));
            }
        }
        (!processes.is_empty()).then_some(Self { processes, threads })
    }

    /// What was taken since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Duration {
        gained(&self.processes, &earlier.processes).sum()
    }

    /// What the one thread has taken since then that has taken the most.
    pub fn busiest_since(&self, earlier: &Self) -> Duration {
        gained(&self.threads, &earlier.threads).max().unwrap_or_default()
    }
}

/// What this very process has taken so far.
pub fn own_cpu() -> Option<Duration> {
    stat("/proc/self/stat")
}

fn gained<'a>(
    now: &'a BTreeMap<i32, Duration>,
    earlier: &'a BTreeMap<i32, Duration>,
) -> impl Iterator<Item = Duration> + 'a {
    now.iter().map(|(id, taken)| taken.saturating_sub(earlier.get(id).copied().unwrap_or_default()))
}

/// User and system time of a process or a thread.
fn stat(path: &str) -> Option<Duration> {
    let ticks = ticks(&fs::read_to_string(path).ok()?)?;
    let a_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks * 1000 / a_second.max(1)))
}

/// The two numbers of a `stat` file, together, in the system's ticks.
fn ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_stand_behind_a_name_that_may_be_anything() {
        let line = "7 (a b) c) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 9 9 20 0 1 0 100";
        assert_eq!(ticks(line), Some(200));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn what_was_taken_before_does_not_count_and_who_is_new_counts_whole() {
        let of = |all: &[(i32, u64)]| {
            all.iter().map(|&(id, taken)| (id, Duration::from_millis(taken))).collect()
        };
        let earlier = CpuTime { processes: of(&[(1, 500)]), threads: of(&[(1, 400), (2, 100)]) };
        let now = CpuTime {
            processes: of(&[(1, 900), (9, 50)]),
            threads: of(&[(1, 450), (3, 300), (9, 50)]),
        };
        assert_eq!(now.since(&earlier), Duration::from_millis(450));
        assert_eq!(now.busiest_since(&earlier), Duration::from_millis(300));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_that_works_takes_time() {
        use std::os::unix::process::CommandExt;

        let mut shell = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done & wait"])
            .process_group(0)
            .spawn()
            .unwrap();
        let own = rustix::process::getpid();
        let first = CpuTime::of(own).unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(20);
        let worked = || {
            let now = CpuTime::of(own).unwrap();
            now.since(&first) >= Duration::from_millis(30) && !now.busiest_since(&first).is_zero()
        };
        while !worked() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let seen = worked();
        let group = Pid::from_child(&shell);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        shell.wait().unwrap();
        assert!(seen);
    }
}
