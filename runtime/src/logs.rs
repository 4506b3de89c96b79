//! tmp
pub fn chain(e: &dyn std::error::Error) -> String { let mut s = e.to_string(); let mut n = e.source(); while let Some(x) = n { s.push_str(": "); s.push_str(&x.to_string()); n = x.source(); } s }
