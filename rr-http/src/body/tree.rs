//! The tree that a form's flat names stand for: `a[b][]=1` is `{"a":{"b":["1"]}}`.
//!
//! The rules are the reference's, oddities included. Where its result depends on chance (it walks its fields in random
//! order) ours follows the order of the fields.

use super::{json, name};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, Write},
};

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
        match name::split(name) {
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

/// What happens to a value whose way leads to a key that is taken.
enum Meeting {
    /// It replaces what is there, or goes on into it.
    Pass,
    /// It is dropped.
    Drop,
    /// The form contradicts itself.
    Clash,
}

/// `rest` are the keys that follow the taken one; `nothing`: the value is empty.
fn meet<L: Leaf>(present: &Node<L>, rest: &[String], nothing: bool) -> Meeting {
    match (present, rest) {
        (Node::Branch(_), []) => {
            if nothing {
                Meeting::Drop
            } else {
                Meeting::Clash
            }
        }
        (Node::Branch(_), [last]) if last.is_empty() => {
            if nothing {
                Meeting::Drop
            } else {
                Meeting::Clash
            }
        }
        (Node::Branch(_), _) => Meeting::Pass,
        (leaf, _) if leaf.is_empty() => Meeting::Pass,
        (_, [next, ..]) if !next.is_empty() => Meeting::Clash,
        // That `key[]` and `key[][x]` are let through is the reference's way.
        _ => {
            if nothing {
                Meeting::Drop
            } else {
                Meeting::Pass
            }
        }
    }
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
        let entry = branch.entry(key);
        match &entry {
            Entry::Occupied(taken) => match meet(taken.get(), rest, nothing) {
                Meeting::Pass => {}
                Meeting::Drop => return Ok(()),
                Meeting::Clash => return Err(TreeError::Conflict(taken.key().clone())),
            },
            Entry::Vacant(_) if *keys == MAX_KEYS => return Err(TreeError::TooManyKeys),
            Entry::Vacant(_) => *keys += 1,
        }
        match rest {
            [] => {
                if let Some(value) = values.pop() {
                    entry.insert_entry(Node::One(value));
                }
                return Ok(());
            }
            [last] if last.is_empty() => {
                entry.insert_entry(Node::List(values));
                return Ok(());
            }
            _ => {}
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

/// A single empty value; several ones count for something, as in the reference.
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
