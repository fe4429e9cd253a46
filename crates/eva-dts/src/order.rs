//! One sort for all types: each of its own is 3 kB of code, which a module in wasm has to carry.

use std::cmp::Ordering;

/// Sorts; what is equal keeps its order.
pub fn sort<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    // As most machines list what they have.
    if items.is_sorted_by(|left, right| compare(left, right).is_le()) {
        return;
    }
    let order = order(items.len(), &|left, right| compare(&items[left], &items[right]));
    for at in 0..items.len() {
        // What was there when its turn came went to where the other came from.
        let mut from = order[at];
        while from < at {
            from = order[from];
        }
        items.swap(at, from);
    }
}

/// The places of so many items in their order.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|left, right| compare(*left, *right));
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn anything_is_sorted_as_the_library_sorts_it(mut items in prop::collection::vec((0_u8..20, any::<u16>()), 0..60)) {
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort(&mut items, |left, right| left.0.cmp(&right.0));
            prop_assert_eq!(items, expected);
        }
    }
}
