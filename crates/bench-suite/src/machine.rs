//! What a figure was measured on, and with which state of the sources.

use std::path::Path;
use std::process::Command;

/// Processor, cores in use and operating system, in one line.
#[must_use]
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("model name"))?;
            line.split_once(':').map(|(_, name)| name.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let level = tensor_tree::host::Level::detected();
    format!("{cpu}, {cores} cores, {level:?}, {}", std::env::consts::OS)
}

/// The commit of the sources, with a `+` if files differ from it; `unknown` outside a repository.
#[must_use]
pub fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let out = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    if dirty { commit + "+" } else { commit }
}

/// Whether a commit says what the sources are: not where files differ from it, nor outside a repository. What was computed with one that
/// does not is not used again.
#[must_use]
pub fn says_what(commit: &str) -> bool {
    !commit.ends_with('+') && commit != "unknown"
}

/// Processor time of this process so far, all threads, in seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    cpu_time::ProcessTime::now().as_duration().as_secs_f64()
}

/// Resident memory now and at its highest, in bytes; `None` where the system does not say.
#[must_use]
pub fn memory() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// Resident memory at its highest, in bytes; 0 where the system does not say.
#[must_use]
pub fn peak() -> u64 {
    memory().map_or(0, |(_, peak)| peak)
}

/// Lets the highest resident memory of [`memory`] begin again, where the system can.
pub fn forget_peak() {
    // Where it cannot, the peak is that since the start of the process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_without_changes_says_what_the_sources_are() {
        assert!(says_what("6db387c2803e"));
        assert!(!says_what("6db387c2803e+") && !says_what("unknown"));
        let nowhere = tempfile::tempdir().unwrap();
        assert!(!says_what(&commit(nowhere.path())));
    }
}
