//! How many files the process may have open: a log keeps one open for each of its segments.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows as many as the system lets a process have, and tells how many that are; `None` if there is no limit.
///
/// Most systems start a process with 1,024, which is a log of some 60 GiB, and let it have far more if it asks.
pub fn allow_most() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_as_many_files_open_as_it_is_ever_let() {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let few = Rlimit { current: Some(512), maximum };
        setrlimit(Resource::Nofile, few).unwrap();
        assert_eq!(allow_most(), maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }
}
