//! What changed from one definition to another, as a person would tell it: steps are known by their ids, wherever they stand.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::Value;

use crate::fault::pointer;

#[cfg(test)]
mod tests;

/// Changes of one diff. Whoever has more of them has another workflow, and reads it whole.
pub const CHANGES_MAX: usize = 1_000;
/// What the pointers and values of one diff may weigh: twice what both definitions may, since a value can be part of another.
pub const CHANGES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What changed from one definition to another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// In the order of the new definition; at most [`CHANGES_MAX`] that weigh at most [`CHANGES_BYTES_MAX`].
    pub changes: Vec<Change>,
    /// Whether there are more.
    pub truncated: bool,
}

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It is new.
    Add,
    /// It is gone.
    Remove,
    /// It has another value.
    Replace,
    /// The same step stands elsewhere. What changed inside it follows.
    Move,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What kind of change it is.
    pub op: Op,
    /// Where: a JSON pointer into the new definition; into the old one if it is gone.
    pub pointer: String,
    /// Where it stood in the old definition, if elsewhere.
    pub from_pointer: Option<String>,
    /// The step that it is, or the innermost one that it is in.
    pub step: Option<String>,
    /// What was there, of what is gone or replaced.
    pub from: Option<Value>,
    /// What is there, of what is new or replaced.
    pub to: Option<Value>,
}

/// What changed between two definitions.
///
/// Elements of arrays that all have an `id` are matched by it, and so are branches, by the id of their first step; other
/// arrays are matched by position. The order of an object's fields is not looked at.
pub fn diff(from: &Value, to: &Value) -> Diff {
    let (from, to) = (Place::root(from), Place::root(to));
    let (before, after) = (steps_of(&from), steps_of(&to));
    let kept = before.into_iter().filter(|(id, _)| after.contains_key(id)).collect();
    let mut comparison = Comparison { kept, diff: Diff::default(), bytes: 0 };
    comparison.compare(&from, &to, None);
    comparison.diff
}

/// A value and where it stands.
#[derive(Clone)]
struct Place<'a> {
    /// None at the root.
    path: Option<Rc<Path<'a>>>,
    value: &'a Value,
}

/// A path from its end. Pointers are written only for what changed: under a long key they weigh more than the document.
struct Path<'a> {
    parent: Option<Rc<Self>>,
    key: Key<'a>,
}

enum Key<'a> {
    Name(&'a str),
    Position(usize),
}

impl<'a> Place<'a> {
    fn root(value: &'a Value) -> Self {
        Self { path: None, value }
    }

    fn child(&self, key: Key<'a>, value: &'a Value) -> Self {
        Self { path: Some(Rc::new(Path { parent: self.path.clone(), key })), value }
    }

    fn children(&self) -> Vec<Self> {
        match self.value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(n, item)| self.child(Key::Position(n), item)).collect()
            }
            Value::Object(fields) => fields.iter().map(|(name, value)| self.child(Key::Name(name), value)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    fn pointer(&self) -> String {
        let path: Vec<&Path<'_>> = std::iter::successors(self.path.as_deref(), |path| path.parent.as_deref()).collect();
        path.iter().rev().fold(String::new(), |parent, path| match path.key {
            Key::Name(name) => pointer(&parent, name),
            Key::Position(position) => pointer(&parent, position),
        })
    }
}

/// The id of a value that looks like a step.
fn step_id(value: &Value) -> Option<&str> {
    value.get("type").and_then(Value::as_str)?;
    value.get("id").and_then(Value::as_str)
}

/// Every step of a definition, nested ones too. An id that stands twice names nothing.
fn steps_of<'a>(root: &Place<'a>) -> HashMap<&'a str, Place<'a>> {
    let (mut steps, mut twice) = (HashMap::new(), HashSet::new());
    let mut open = vec![root.clone()];
    while let Some(place) = open.pop() {
        let children = place.children();
        if place.value.is_array() {
            for child in &children {
                if let Some(id) = step_id(child.value)
                    && steps.insert(id, child.clone()).is_some()
                {
                    twice.insert(id);
                }
            }
        }
        open.extend(children);
    }
    steps.retain(|id, _| !twice.contains(id));
    steps
}

/// What the elements of an array are matched by, where each has something of its own.
fn keys(items: &[Value]) -> Option<HashMap<&str, usize>> {
    let mut keys = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        if keys.insert(key(item)?, position).is_some() {
            return None;
        }
    }
    Some(keys)
}

fn key(item: &Value) -> Option<&str> {
    match item {
        Value::Array(items) => key(items.first()?),
        other => other.get("id").and_then(Value::as_str),
    }
}

struct Comparison<'a> {
    /// Steps that are in both definitions, where they stand in the old one.
    kept: HashMap<&'a str, Place<'a>>,
    diff: Diff,
    bytes: usize,
}

impl<'a> Comparison<'a> {
    /// What changed inside of two values that are the same thing; `step` is the innermost step that they are, or are in.
    fn compare(&mut self, from: &Place<'a>, to: &Place<'a>, step: Option<&'a str>) {
        if self.diff.truncated || from.value == to.value {
            return;
        }
        match (from.value, to.value) {
            (Value::Object(before), Value::Object(after)) => {
                for (name, value) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
                    self.gone(&from.child(Key::Name(name), value), step);
                }
                for (name, value) in after {
                    let place = to.child(Key::Name(name), value);
                    match before.get(name) {
                        Some(value) => self.compare(&from.child(Key::Name(name), value), &place, step),
                        None => self.arrived(&place, step),
                    }
                }
            }
            (Value::Array(before), Value::Array(after)) => match (keys(before), keys(after)) {
                (Some(before), Some(after)) => self.compare_by_key(from, to, &before, &after, step),
                _ => self.compare_by_position(from, to, before, after, step),
            },
            _ => {
                self.note(Op::Replace, Some(from), Some(to), step);
                self.arrivals_within(to, step);
            }
        }
    }

    fn compare_by_key(
        &mut self,
        from: &Place<'a>,
        to: &Place<'a>,
        before: &HashMap<&str, usize>,
        after: &HashMap<&str, usize>,
        step: Option<&'a str>,
    ) {
        let (old, new) = (from.children(), to.children());
        for place in old.iter().filter(|place| key(place.value).is_some_and(|key| !after.contains_key(key))) {
            self.gone(place, step);
        }
        let position_before = |place: &Place| key(place.value).and_then(|key| before.get(key)).copied();
        let order: Vec<usize> = new.iter().filter_map(position_before).collect();
        let stayed = longest_rise(&order);
        for place in &new {
            match position_before(place) {
                Some(position) if stayed.contains(&position) => self.same(&old[position], place, step),
                Some(position) => self.moved(&old[position], place, step),
                None => self.arrived(place, step),
            }
        }
    }

    /// What arrays have in common at their beginnings and ends is passed over; the rest is compared one by one.
    fn compare_by_position(
        &mut self,
        from: &Place<'a>,
        to: &Place<'a>,
        before: &[Value],
        after: &[Value],
        step: Option<&'a str>,
    ) {
        let head = before.iter().zip(after).take_while(|(one, other)| one == other).count();
        let tails = before[head..].iter().rev().zip(after[head..].iter().rev());
        let tail = tails.take_while(|(one, other)| one == other).count();
        let (old, new) = (from.children(), to.children());
        let mut old = old[head..before.len() - tail].iter();
        let mut new = new[head..after.len() - tail].iter();
        loop {
            match (old.next(), new.next()) {
                (None, None) => return,
                (Some(old), Some(new)) if step_id(old.value) == step_id(new.value) => self.same(old, new, step),
                (old, new) => {
                    old.into_iter().for_each(|place| self.gone(place, step));
                    new.into_iter().for_each(|place| self.arrived(place, step));
                }
            }
        }
    }

    fn same(&mut self, from: &Place<'a>, to: &Place<'a>, step: Option<&'a str>) {
        self.compare(from, to, step_id(to.value).or(step));
    }

    fn moved(&mut self, from: &Place<'a>, to: &Place<'a>, step: Option<&'a str>) {
        self.note(Op::Move, Some(from), Some(to), step);
        self.same(from, to, step);
    }

    fn gone(&mut self, place: &Place<'a>, step: Option<&'a str>) {
        // A step that is still there is met where it stands now.
        if !step_id(place.value).is_some_and(|id| self.kept.contains_key(id)) {
            self.note(Op::Remove, Some(place), None, step);
        }
    }

    fn arrived(&mut self, place: &Place<'a>, step: Option<&'a str>) {
        match step_id(place.value).and_then(|id| self.kept.get(id)).cloned() {
            Some(from) => self.moved(&from, place, step),
            None => {
                self.note(Op::Add, None, Some(place), step);
                self.arrivals_within(place, step);
            }
        }
    }

    /// Steps that were there before and stand inside something new by now.
    fn arrivals_within(&mut self, place: &Place<'a>, step: Option<&'a str>) {
        if self.diff.truncated {
            return;
        }
        let step = step_id(place.value).or(step);
        for child in place.children() {
            let from = if place.value.is_array() { step_id(child.value) } else { None };
            match from.and_then(|id| self.kept.get(id)).cloned() {
                Some(from) => self.moved(&from, &child, step),
                None => self.arrivals_within(&child, step),
            }
        }
    }

    fn note(&mut self, op: Op, from: Option<&Place<'a>>, to: Option<&Place<'a>>, step: Option<&'a str>) {
        let Some(place) = to.or(from) else { return };
        if self.diff.truncated || self.diff.changes.len() == CHANGES_MAX {
            self.diff.truncated = true;
            return;
        }
        let pointer = place.pointer();
        let value = |place: Option<&Place<'a>>| place.filter(|_| op != Op::Move).map(|place| place.value.clone());
        let change = Change {
            op,
            from_pointer: from.map(Place::pointer).filter(|from| *from != pointer),
            step: step_id(place.value).or(step).map(str::to_owned),
            from: value(from),
            to: value(to),
            pointer,
        };
        self.bytes += change.bytes();
        if self.bytes > CHANGES_BYTES_MAX {
            self.diff.truncated = true;
        } else {
            self.diff.changes.push(change);
        }
    }
}

impl Change {
    fn bytes(&self) -> usize {
        let texts = [Some(&self.pointer), self.from_pointer.as_ref(), self.step.as_ref()].into_iter().flatten();
        let values = [&self.from, &self.to].into_iter().flatten();
        texts.map(String::len).sum::<usize>() + values.map(|value| value.to_string().len()).sum::<usize>()
    }
}

/// The most of `numbers`, all different, that rise from left to right: what stayed where the others moved past it.
fn longest_rise(numbers: &[usize]) -> HashSet<usize> {
    // The smallest last number of a rise of each length so far, and what came before each number in its rise.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: HashMap<usize, usize> = HashMap::new();
    for number in numbers.iter().copied() {
        let length = ends.partition_point(|end| *end < number);
        if let Some(shorter) = length.checked_sub(1) {
            before.insert(number, ends[shorter]);
        }
        if length == ends.len() { ends.push(number) } else { ends[length] = number }
    }
    std::iter::successors(ends.last().copied(), |number| before.get(number).copied()).collect()
}
