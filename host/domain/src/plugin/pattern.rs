//! Patterns of host names: a name, `*.name` for every name below it, or `*`.

/// In bytes: the longest name that DNS has (RFC 1035 section 2.3.4), and the star in front.
const PATTERN_BYTES_MAX: usize = 255;

/// What is wrong with a pattern, as the rest of a sentence.
pub fn check_host_pattern(pattern: &str) -> Result<(), &'static str> {
    if pattern == "*" {
        return Ok(());
    }
    let name = pattern.strip_prefix("*.").unwrap_or(pattern);
    if name.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
        return Err("is empty or longer than a host's name can be");
    }
    if name.contains('*') {
        return Err("has a `*` elsewhere than in front of a dot at its beginning");
    }
    let bracketed = name.starts_with('[') && name.ends_with(']');
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_'));
    let inside = name.trim_start_matches('[').trim_end_matches(']');
    if bracketed && inside.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) || plain {
        Ok(())
    } else {
        Err("is not a host's name in lower case, without scheme, port or path")
    }
}

/// Whether `host`, as a parsed URL has it (lower case, punycode), is one that `pattern` means.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    // A name may be written with the root's dot; it is the same name.
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        // Below it, not the name itself, and never a number: `*.1` must not mean 127.0.0.1.
        Some(parent) => {
            let below = host.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.'));
            below.is_some_and(|label| !label.is_empty()) && host.parse::<std::net::Ipv4Addr>().is_err()
        }
        None => pattern == "*" || pattern == host,
    }
}
