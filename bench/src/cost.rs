//! What the system counts for a process.

use crate::Outcome;
use std::fs;
use std::time::Duration;

/// Ticks of `utime` and `stime` in a second: Linux shows them so whatever its own clock does.
const TICKS: f64 = 100.0;

/// CPU-seconds of all threads of a process so far, its own and the system's for it.
pub(crate) fn cpu(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may have blanks and brackets.
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
    let ticks = |at: usize| -> Outcome<f64> { Ok(fields.get(at).ok_or("a short stat")?.parse::<f64>()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// The same of every process of a group, such as a server and what started it.
pub(crate) fn cpu_of_group(group: u32) -> Outcome<f64> {
    let mut sum = 0.0;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end between the two looks.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let of_group = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2)?.parse::<u32>().ok());
        if of_group == Some(group) {
            sum += cpu(pid).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// The most memory a process has held at once, in MiB.
pub(crate) fn peak_mib(pid: u32) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// What one drain took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) changes: u64,
    pub(crate) wall: Duration,
    /// CPU-seconds of the process.
    pub(crate) cpu: f64,
    pub(crate) peak_mib: f64,
    /// CPU-seconds of Cassandra meanwhile.
    pub(crate) cassandra_cpu: f64,
    /// Statements that Cassandra was asked to write, where the loop counts them.
    pub(crate) statements: Option<u64>,
    /// What was asked of the allocator from the start of the process to its end, where that counts.
    pub(crate) allocations: Option<u64>,
}

impl Cost {
    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.cpu / self.changes as f64 * 1e6
    }

    pub(crate) fn cassandra_per_million(&self) -> f64 {
        self.cassandra_cpu / self.changes as f64 * 1e6
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.changes as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn statements_per_1000(&self) -> Option<f64> {
        self.statements.map(|count| count as f64 / self.changes as f64 * 1e3)
    }

    pub(crate) fn allocations_each(&self) -> Option<f64> {
        self.allocations.map(|count| count as f64 / self.changes as f64)
    }
}

/// The least, the middle and the most of some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self { min: at(0), median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), max: at(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of([5.0, 1.0, 3.0]), Spread { min: 1.0, median: 3.0, max: 5.0 });
    }

    #[test]
    fn a_process_that_works_has_used_time_and_memory() {
        let pid = std::process::id();
        let before = cpu(pid).unwrap();
        let since = tokio::time::Instant::now();
        let mut sum = 0_u64;
        while since.elapsed() < Duration::from_millis(300) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(cpu(pid).unwrap() > before);
        assert!(peak_mib(pid).unwrap() > 1.0);
    }
}
