//! The keys of one secret: those that functions take, the one that is used first. Which one is the newer can be
//! told from the keys themselves, so that a rotation can be taken up from whatever it left behind.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::commands::Misuse;
use crate::stack::keys::random;

/// What every new key is made of.
const BYTES: usize = 32;
/// What a service key that was made here begins with; its number follows.
const MADE_HERE: &str = "ferry_";

/// What the secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `SERVICE_API_KEY`: callers show the first, functions take all.
    Service,
    /// `id:base64 of 32 bytes`: the first seals, all open.
    Ring,
}

/// Not to be printed, nor derived to be.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct List {
    kind: Kind,
    keys: Vec<String>,
}

impl Kind {
    pub(super) fn of(secret: &str) -> Result<Self> {
        match secret {
            "SERVICE_API_KEY" => Ok(Kind::Service),
            ring if ring.ends_with("_KEYS") && !ring.starts_with("SUPABASE_") => Ok(Kind::Ring),
            other => Err(Misuse(format!(
                "{other} is not a secret that several values can overlap in: SERVICE_API_KEY and rings of keys \
                 (…_KEYS) are"
            ))
            .into()),
        }
    }
}

impl List {
    pub(super) fn parse(secret: &str, text: &str) -> Result<Self> {
        let kind = Kind::of(secret)?;
        let keys: Vec<String> =
            text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect();
        let list = Self { kind, keys };
        let mut ids: Vec<&str> = list.keys.iter().map(|key| list.id(key)).collect();
        ids.sort_unstable();
        ids.dedup();
        let is_key = |key: &String| {
            let (id, key) = key.split_once(':').unwrap_or_default();
            !id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && STANDARD.decode(key).is_ok_and(|key| key.len() == BYTES)
        };
        let is_well = !list.keys.is_empty()
            && ids.len() == list.keys.len()
            && (kind == Kind::Service || list.keys.iter().all(is_key));
        if !is_well {
            let form = match kind {
                Kind::Service => "keys that differ, separated by commas",
                Kind::Ring => "`id:base64 of 32 bytes`, several with ids that differ separated by commas",
            };
            return Err(Misuse(format!("{secret} is not of the form {form}")).into());
        }
        Ok(list)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// As it is kept and pushed.
    pub(super) fn text(&self) -> String {
        self.keys.join(",")
    }

    /// The one that is used.
    pub(super) fn first(&self) -> &str {
        &self.keys[0]
    }

    pub(super) fn is_one(&self) -> bool {
        self.keys.len() == 1
    }

    /// A key's name, which is no secret: of a service key, there is none but the key.
    fn id<'k>(&self, key: &'k str) -> &'k str {
        match self.kind {
            Kind::Service => key,
            Kind::Ring => key.split(':').next().unwrap_or_default(),
        }
    }

    /// The id of the key that is used; of a ring.
    pub(super) fn first_id(&self) -> &str {
        self.id(self.first())
    }

    /// All keys but the first.
    pub(super) fn others(&self) -> Self {
        Self { kind: self.kind, keys: self.keys[1..].to_vec() }
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| self.id(key).to_owned()).collect()
    }

    /// A greater one is newer.
    fn age(&self, key: &str) -> (usize, String) {
        match self.kind {
            Kind::Service => {
                let number =
                    key.strip_prefix(MADE_HERE).and_then(|rest| rest.split('_').next()?.parse().ok());
                (number.unwrap_or(0), String::new())
            }
            Kind::Ring => (self.id(key).len(), self.id(key).to_owned()),
        }
    }

    /// Whether the newest key is the first one. Nothing when it cannot be told which one is the newest.
    pub(super) fn newest_is_first(&self) -> Option<bool> {
        let newest = self.keys.iter().max_by_key(|key| self.age(key))?;
        let age = self.age(newest);
        let is_alone = self.keys.iter().filter(|key| self.age(key) == age).count() == 1;
        is_alone.then(|| newest == self.first())
    }

    /// With a new key at the end, whose id is in none of these rows either.
    pub(super) fn with_new(&self, ids_in_use: &[String]) -> Self {
        let bytes = random::<BYTES>();
        let newest = self.keys.iter().max_by_key(|key| self.age(key)).map_or("", String::as_str);
        let key = match self.kind {
            Kind::Service => {
                format!("{MADE_HERE}{}_{}", self.age(newest).0 + 1, URL_SAFE_NO_PAD.encode(bytes))
            }
            Kind::Ring => {
                let id = self.id(newest);
                let stem = id.trim_end_matches(|digit: char| digit.is_ascii_digit());
                // k9 is followed by k10, and k by k2.
                let (stem, mut number) = match id[stem.len()..].parse::<u32>() {
                    Ok(number) => (stem, u64::from(number) + 1),
                    Err(_) => (id, 2),
                };
                let mut free = format!("{stem}{number}");
                // One that is shorter would seem older: k01 is followed by k10.
                while free.len() < id.len() || ids_in_use.contains(&free) {
                    number += 1;
                    free = format!("{stem}{number}");
                }
                format!("{free}:{}", STANDARD.encode(bytes))
            }
        };
        Self { kind: self.kind, keys: [&self.keys[..], &[key]].concat() }
    }

    /// The newest key first, and then the others as they were.
    pub(super) fn newest_first(&self) -> Self {
        let mut keys = self.keys.clone();
        if let Some(at) = (0..keys.len()).max_by_key(|at| self.age(&keys[*at])) {
            let newest = keys.remove(at);
            keys.insert(0, newest);
        }
        Self { kind: self.kind, keys }
    }

    /// The newest key last: as it was before it was put first.
    pub(super) fn newest_last(&self) -> Self {
        let mut keys = self.newest_first().keys;
        keys.rotate_left(1);
        Self { kind: self.kind, keys }
    }

    /// Without the last key.
    pub(super) fn without_last(&self) -> Self {
        Self { kind: self.kind, keys: self.keys[..self.keys.len() - 1].to_vec() }
    }

    /// The newest key alone.
    pub(super) fn newest(&self) -> Self {
        Self { kind: self.kind, keys: self.newest_first().keys[..1].to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: &str = "CREDENTIALS_ENCRYPTION_KEYS";

    fn ring(ids: &[&str]) -> List {
        let keys: Vec<String> =
            ids.iter().map(|id| format!("{id}:{}", STANDARD.encode(random::<BYTES>()))).collect();
        List::parse(RING, &keys.join(",")).expect("a ring")
    }

    #[test]
    fn a_new_key_of_a_ring_is_told_to_be_the_newer_one_by_its_id() {
        for (old, new) in [
            ("k1", "k2"),
            ("k9", "k10"),
            ("k", "k2"),
            ("prod", "prod2"),
            ("2026", "2027"),
            ("k01", "k10"),
            ("k99999999999", "k999999999992"),
        ] {
            let list = ring(&[old]).with_new(&[]);
            assert_eq!(list.ids(), [old, new]);
            assert_eq!(list.newest_is_first(), Some(false));
            assert_eq!(list.newest_first().ids(), [new, old]);
            assert_eq!(list.newest_first().newest_is_first(), Some(true));
            assert!(list.newest_first().newest_last() == list && list.newest().ids() == [new]);
            assert!(
                List::parse(RING, &list.text()).is_ok_and(|parsed| parsed == list),
                "a ring as functions read it"
            );
        }
        let used = ["k2".to_owned(), "k3".to_owned()];
        assert_eq!(
            ring(&["k1"]).with_new(&used).ids(),
            ["k1", "k4"],
            "an id that texts still name is not given again"
        );
    }

    #[test]
    fn a_new_service_key_is_told_to_be_the_newer_one_by_its_number() {
        let list = List::parse("SERVICE_API_KEY", "by-hand").expect("a key").with_new(&[]);
        assert!(list.text().starts_with("by-hand,ferry_1_"), "{}", list.text().len());
        assert_eq!(list.newest_is_first(), Some(false));
        let next = list.newest().with_new(&[]);
        assert!(next.text().contains(",ferry_2_") && next.newest_is_first() == Some(false));
        assert_eq!(next.newest().first().len(), "ferry_2_".len() + 43);
        let by_hand = List::parse("SERVICE_API_KEY", "one, two").expect("keys");
        assert_eq!(by_hand.newest_is_first(), None, "nobody can tell");
    }

    #[test]
    fn what_is_no_list_is_refused_without_repeating_it() {
        for (secret, text) in [
            (RING, "topsecret"),
            (RING, "k1:topsecret"),
            ("SERVICE_API_KEY", "topsecret,topsecret"),
            ("SERVICE_API_KEY", " , "),
            ("ALPACA_API_KEY", "topsecret"),
            ("SUPABASE_SECRET_KEYS", "topsecret"),
        ] {
            let refusal = List::parse(secret, text).err().expect("it is refused").to_string();
            assert!(refusal.contains(secret) && !refusal.contains("topsecret"), "{refusal}");
        }
    }
}
