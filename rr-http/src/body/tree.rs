//! The tree that a form's flat names stand for: `a[b][]=1` is `{"a":{"b":["1"]}}`.
//!
//! The rules are the reference's, oddities included. Where its result depends on chance (it walks its fields in random
//! order) ours follows the order of the fields.

use super::json;
use memchr::memchr3;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, Write},
};

/// Deeper names are ignored.
const MAX_LEVELS: usize = 127;

/// Keys of one tree, of all levels: a bound on its memory, which for a hostile form is a hundred times its text's.
const MAX_KEYS: usize = 50_000;

/// What stands at the tree's ends.
pub trait Leaf {
    /// An empty one gives way to others of the same name.
    fn is_empty(&self) -> bool;

    /// Its JSON.
    ///
    /// # Errors
    ///
    /// Those of the destination.
    fn write_json(&self, out: &mut impl Write) -> io::Result<()>;
}

/// Why a field has no place in the tree.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The key is a value in one name and a branch in another.
    #[error("invalid multiple values to key '{0}' in tree")]
    Conflict(String),
    /// More keys than we keep in memory.
    #[error("form has more than {MAX_KEYS} keys")]
    TooManyKeys,
}

/// A tree of values or files.
#[derive(Debug)]
pub struct Tree<L> {
    root: Branch<L>,
    keys: usize,
}

type Branch<L> = BTreeMap<String, Node<L>>;

#[derive(Debug)]
enum Node<L> {
    One(L),
    List(Vec<L>),
    Branch(Branch<L>),
}

impl<L> Default for Tree<L> {
    fn default() -> Self {
        Self {
            root: Branch::new(),
            keys: 0,
        }
    }
}

impl<L: Leaf> Tree<L> {
    /// True if nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Puts in all values of one name, at least one: `name[]` keeps them all, any other name the last one.
    ///
    /// # Errors
    ///
    /// [`TreeError`]; the tree is of no use then.
    pub fn insert(&mut self, name: &[u8], values: Vec<L>) -> Result<(), TreeError> {
        match split(name) {
            Some(path) => mount(&mut self.root, path, values, &mut self.keys),
            None => Ok(()),
        }
    }

    /// Writes the tree as JSON, keys in order of their bytes.
    ///
    /// # Errors
    ///
    /// Those of the destination.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        write_branch(&self.root, out)
    }
}

/// The keys of a name, or nothing if there are too many of them.
///
/// Brackets only separate: `a]b`, `a[b` and `a[b]` are all `a`, `b`. Spaces are dropped.
pub(super) fn split(name: &[u8]) -> Option<Vec<String>> {
    // Most names are one plain key.
    if memchr3(b'[', b']', b' ', name).is_none()
        && let Ok(key) = std::str::from_utf8(name)
    {
        return Some(vec![key.to_owned()]);
    }
    #[derive(PartialEq)]
    enum After {
        Text,
        Open,
        Close,
    }
    let mut path = Vec::with_capacity(1);
    let mut key = String::new();
    let mut after = After::Text;
    let mut add = |key: &mut String, char: char| {
        match char {
            ' ' => {}
            '[' => after = After::Open,
            ']' => {
                if after == After::Open {
                    path.push(std::mem::take(key));
                }
                after = After::Close;
            }
            _ => {
                if after != After::Text {
                    path.push(std::mem::take(key));
                }
                after = After::Text;
                key.push(char);
            }
        }
        path.len() < MAX_LEVELS
    };
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            if !add(&mut key, char) {
                return None;
            }
        }
        for _ in chunk.invalid() {
            if !add(&mut key, char::REPLACEMENT_CHARACTER) {
                return None;
            }
        }
    }
    path.push(key);
    Some(path)
}

/// True for the path of `name[]`, whose values are all kept.
pub(super) fn is_list(path: &[String]) -> bool {
    path.len() > 1 && path.last().is_some_and(String::is_empty)
}

fn mount<L: Leaf>(
    mut branch: &mut Branch<L>,
    path: Vec<String>,
    mut values: Vec<L>,
    keys: &mut usize,
) -> Result<(), TreeError> {
    let nothing = all_empty(&values);
    let mut path = path.into_iter();
    while let Some(key) = path.next() {
        let rest = path.as_slice();
        let list = matches!(rest, [last] if last.is_empty());
        let ends = rest.is_empty() || list;
        let entry = branch.entry(key);
        if let Entry::Occupied(present) = &entry {
            let conflict = match present.get() {
                Node::Branch(_) => ends.then_some(!nothing),
                // A value beside `key[...]`; that `key[]` and `key[][x]` are let through is the reference's way.
                node if !node.is_empty() => match rest.first() {
                    Some(next) if !next.is_empty() => Some(true),
                    _ => nothing.then_some(false),
                },
                _ => None,
            };
            match conflict {
                Some(true) => return Err(TreeError::Conflict(present.key().clone())),
                Some(false) => return Ok(()),
                None => {}
            }
        } else {
            *keys += 1;
            if *keys > MAX_KEYS {
                return Err(TreeError::TooManyKeys);
            }
        }
        if list {
            entry.insert_entry(Node::List(values));
            return Ok(());
        }
        if ends {
            if let Some(value) = values.pop() {
                entry.insert_entry(Node::One(value));
            }
            return Ok(());
        }
        let node = entry.or_insert_with(|| Node::Branch(Branch::new()));
        if !matches!(node, Node::Branch(_)) {
            *node = Node::Branch(Branch::new());
        }
        let Node::Branch(inner) = node else { return Ok(()) };
        branch = inner;
    }
    Ok(())
}

fn all_empty<L: Leaf>(values: &[L]) -> bool {
    matches!(values, [only] if only.is_empty())
}

impl<L: Leaf> Node<L> {
    fn is_empty(&self) -> bool {
        match self {
            Self::One(value) => value.is_empty(),
            Self::List(values) => all_empty(values),
            Self::Branch(_) => false,
        }
    }
}

fn write_branch<L: Leaf>(branch: &Branch<L>, out: &mut impl Write) -> io::Result<()> {
    let mut separator = b"{";
    for (key, node) in branch {
        out.write_all(separator)?;
        separator = b",";
        json::string(key.as_bytes(), out)?;
        out.write_all(b":")?;
        match node {
            Node::One(value) => value.write_json(out)?,
            Node::List(values) => write_list(values, out)?,
            Node::Branch(branch) => write_branch(branch, out)?,
        }
    }
    if branch.is_empty() {
        out.write_all(b"{")?;
    }
    out.write_all(b"}")
}

fn write_list<L: Leaf>(values: &[L], out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"[")?;
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        value.write_json(out)?;
    }
    out.write_all(b"]")
}
