//! Traces (W3C Trace Context): what is done for a caller belongs to the caller's trace.

use sha2::{Digest, Sha256};

/// A `traceparent` of the same trace with a span of its own, whose id follows from `seed`: what is repeated under the same seed is the
/// same span. `None` where the parent does not keep to the format, and so is not passed on.
pub fn child_of(parent: &str, seed: &str) -> Option<String> {
    let parts: Vec<&str> = parent.split('-').collect();
    let [version @ "00", trace, span, flags] = parts[..] else { return None };
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|digit| digit == b'0');
    if !hex(trace, 32) || !hex(span, 16) || !hex(flags, 2) || zero(trace) || zero(span) {
        return None;
    }
    let digest = Sha256::digest(format!("{parent} {seed}"));
    let child: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{version}-{trace}-{child}-{flags}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_child_is_of_the_same_trace_and_a_span_of_its_own() {
        let child = child_of(PARENT, "a").unwrap();
        assert!(child.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && child.ends_with("-01"), "{child}");
        assert_eq!(child.len(), PARENT.len());
        assert_eq!(child_of(PARENT, "a"), Some(child.clone()));
        assert_ne!(child_of(PARENT, "b"), Some(child.clone()));
        assert_ne!(child, PARENT);
    }

    #[test]
    fn what_is_no_traceparent_has_no_child() {
        for parent in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(child_of(parent, "a"), None, "{parent}");
        }
    }
}
