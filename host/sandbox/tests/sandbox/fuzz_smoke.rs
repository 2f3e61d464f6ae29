//! What fuzzers do for hours, done for a moment: bytes and texts that are nearly right, the same ones every time. The checks may
//! say what they like, but must come back.

use std::time::{Duration, Instant};

use armilla_sandbox::checks;
use serde_json::json;

use crate::common::{hostile, wat};
use crate::limits::evaluator;

/// As long as people wait for it; the number of rounds is bounded as well.
const TIME_MAX: Duration = Duration::from_secs(2);
const ROUNDS_MAX: usize = 200_000;

/// Marsaglia's xorshift: chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let (at, other) = (self.below(bytes.len()), self.below(seeds.len()));
            match self.below(6) {
                _ if bytes.is_empty() => break,
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + self.below(16)).min(bytes.len()))),
                4 => {
                    let from = &seeds[other];
                    let start = self.below(from.len());
                    let piece = from[start..(start + self.below(64)).min(from.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                // Lengths are where parsers go wrong.
                _ => bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]).for_each(drop),
            }
        }
        bytes
    }
}

fn drive(seeds: &[Vec<u8>], check: impl Fn(&[u8])) -> usize {
    let (mut chance, start) = (Chance(0x9e37_79b9_7f4a_7c15), Instant::now());
    let mut rounds = 0;
    while rounds < ROUNDS_MAX && start.elapsed() < TIME_MAX {
        check(&chance.mutated(seeds));
        rounds += 1;
    }
    rounds
}

#[test]
fn the_check_of_an_upload_comes_back_from_anything() {
    let whole = hostile();
    // The code is most of a component, and the least of what is read here.
    let seeds = [
        wat(&evaluator("")),
        wat("(component (component) (core module) (import \"armilla:plugin/log@0.1.0\" (instance)))"),
        wat("(module (func))"),
        whole[..4_000].to_vec(),
        [&whole[..2_000], &whole[whole.len() - 2_000..]].concat(),
    ];
    assert!(drive(&seeds, |bytes| drop(checks::component(bytes))) > 100);
    assert!(checks::component(&whole).is_ok());
    let depth = 1_000;
    let nested = format!("{}{}", "(component ".repeat(depth), ")".repeat(depth));
    drop(wat::parse_str(&nested).map(|bytes| checks::component(&bytes)));
}

#[test]
fn the_checks_of_schemas_and_answers_come_back_from_anything() {
    let seeds = [
        json!({ "type": "object", "required": ["a"], "properties": { "a": { "$ref": "#/$defs/b" } }, "$defs": { "b": true } }),
        json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "not": { "$ref": "#" } } }, "$ref": "#/$defs/a" }),
        json!({ "patternProperties": { "^(a+)+$": { "type": "string", "maxLength": 3, "pattern": "[a-z]{2,9}" } } }),
        json!({ "items": { "enum": [1, 2.5, null, "x"] }, "minItems": 1, "uniqueItems": true, "contains": { "const": 1 } }),
        json!({ "if": { "minimum": 3 }, "then": { "multipleOf": 0.1 }, "else": false, "unevaluatedProperties": false }),
        json!([1, "two", { "three": [null, true, -1e99] }, "\u{1f980}"]),
    ];
    let seeds = seeds.map(|seed| seed.to_string().into_bytes());
    let rounds = drive(&seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (schema, output) = text.split_at(text.floor_char_boundary(text.len() / 2));
        drop(checks::boundary(&text, "{\"a\":[1,\"aaa\",{}]}"));
        drop(checks::boundary("{\"type\":\"object\"}", &text));
        drop(checks::boundary(schema, output));
    });
    assert!(rounds > 100);
}

#[test]
fn schemas_that_cost_more_than_there_is_are_refused_at_once() {
    let start = Instant::now();
    let doubled = |n: u32| json!({ "allOf": vec![json!({ "$ref": format!("#/$defs/d{}", n + 1) }); 2] });
    let mut definitions: serde_json::Map<_, _> = (0..60).map(|n| (format!("d{n}"), doubled(n))).collect();
    definitions.insert("d60".to_owned(), json!({ "type": "object" }));
    let nested = |opening: &str, closing: &str| format!("{}{{}}{}", opening.repeat(100), closing.repeat(100));
    for schema in [
        json!({ "$ref": "#" }).to_string(),
        json!({ "allOf": [{ "$ref": "#" }] }).to_string(),
        json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } }, "$ref": "#/$defs/a" }).to_string(),
        json!({ "$id": "https://example.org/a", "$ref": "https://example.org/a" }).to_string(),
        json!({ "$dynamicAnchor": "a", "$dynamicRef": "#a" }).to_string(),
        json!({ "$recursiveRef": "#", "$recursiveAnchor": true, "$schema": "https://json-schema.org/draft/2019-09/schema" })
            .to_string(),
        json!({ "$defs": definitions, "$ref": "#/$defs/d0" }).to_string(),
        nested("{\"not\":", "}"),
    ] {
        assert!(checks::boundary(&schema, "{}").is_err(), "{schema}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(checks::boundary("true", &"[".repeat(100_000)).is_err());
    assert!(checks::boundary("true", &format!("{}{}", "[".repeat(127), "]".repeat(127))).is_err());
}
