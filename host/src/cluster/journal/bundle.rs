//! Bundles, and the messages that they are sent as: sealed, and in parts if they are long.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::append::Trouble;
use crate::cluster::seal::Key;
use crate::wire;

/// The largest message that is sent in one piece. A server takes 1 MiB by default.
pub(super) const MOST_BYTES: usize = 512 << 10;

/// The longest bundle.
const MOST_OF_BUNDLE: usize = 96 << 20;

/// Items that are appended together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The epoch of the controller that wrote it; 0 from agents.
    pub epoch: u32,
    /// Its index among the bundles of its writer, from 1.
    pub serial: u64,
    /// The items.
    pub items: Vec<Vec<u8>>,
}

/// The version of [`Bundle`].
const BUNDLE: u32 = 1;

/// A message is the first part of a bundle.
const FIRST: u8 = 1;

/// Another part follows.
const MORE: u8 = 2;

/// A bundle as messages at `subject`: one, or several parts if it is long.
pub(super) fn parts(key: &Key, subject: &str, bundle: &Bundle) -> Result<Vec<bytes::Bytes>, Trouble> {
    let whole = wire::versioned(BUNDLE, bundle).map_err(|error| Trouble::Full(error.to_string()))?;
    let whole = key.seal(subject, whole).map_err(|error| Trouble::Full(error.to_string()))?;
    if whole.len() > MOST_OF_BUNDLE {
        return Err(Trouble::Full(format!("an entry has {} bytes", whole.len())));
    }
    let count = whole.len().div_ceil(MOST_BYTES).max(1);
    let part = |(i, part): (usize, &[u8])| {
        let flags = if i == 0 { FIRST } else { 0 } | if i + 1 < count { MORE } else { 0 };
        [&[flags], part].concat().into()
    };
    Ok(whole.chunks(MOST_BYTES).enumerate().map(part).collect())
}

/// Puts the parts of bundles together again: by subject, with the place of the first part.
#[derive(Debug, Default)]
pub(super) struct Parts(HashMap<String, (u64, Vec<u8>)>);

impl Parts {
    /// The bundle that ends with the message at `sequence`. `None` if more follows, or if it makes no sense.
    pub(super) fn add(&mut self, key: &Key, subject: &str, sequence: u64, message: &[u8]) -> Option<Bundle> {
        let (flags, part) = message.split_first()?;
        let (first, whole) = self.0.entry(subject.to_owned()).or_insert_with(|| (sequence, Vec::new()));
        if flags & FIRST != 0 {
            *first = sequence;
            whole.clear();
        }
        if whole.len() + part.len() <= MOST_OF_BUNDLE {
            whole.extend_from_slice(part);
        }
        if flags & MORE != 0 {
            return None;
        }
        let (_, whole) = self.0.remove(subject)?;
        wire::of_version(BUNDLE, &key.open(subject, &whole)?).ok()
    }

    /// The place up to which no bundle is incomplete, after the message at `sequence`.
    pub(super) fn whole(&self, sequence: u64) -> u64 {
        self.0.values().map(|(first, _)| first - 1).min().unwrap_or(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_bundle_goes_in_parts_and_comes_back_whole() {
        let key = Key::new().unwrap();
        for length in [0, 1, MOST_BYTES - 50, MOST_BYTES, 3 * MOST_BYTES] {
            let bundle = Bundle { epoch: 1, serial: 2, items: vec![vec![7; length], vec![8]] };
            let messages = super::parts(&key, "a", &bundle).unwrap();
            assert_eq!(messages.len(), (length + 50).div_ceil(MOST_BYTES), "{length}");
            let (last, before) = messages.split_last().unwrap();
            let mut parts = Parts::default();
            // A writer that ended in the middle of a bundle leaves nothing behind.
            assert_eq!(parts.add(&key, "a", 5, &[FIRST | MORE, 1, 2, 3]), None);
            assert_eq!(parts.whole(7), 4);
            for message in before {
                assert_eq!(parts.add(&key, "a", 8, message), None);
                assert_eq!(parts.add(&key, "b", 9, &[FIRST]), None);
                assert_eq!(parts.whole(9), 7);
            }
            assert_eq!(parts.add(&key, "a", 10, last), Some(bundle.clone()), "{length}");
            assert_eq!(parts.whole(10), 10);
            // It was sealed for another subject, or with another key.
            let other = Key::new().unwrap();
            assert_eq!(before.iter().chain([last]).find_map(|part| parts.add(&key, "b", 1, part)), None);
            assert_eq!(before.iter().chain([last]).find_map(|part| parts.add(&other, "a", 1, part)), None);
        }
    }
}
