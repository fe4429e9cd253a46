//! Bars for a terminal, in eighths of a column or in plain ASCII.

/// From an eighth to seven of them.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const WHOLE: char = '█';

/// How bars are drawn: the largest is `width` columns long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    largest: u64,
    width: usize,
    is_ascii: bool,
}

impl Scale {
    pub(super) fn new(values: impl IntoIterator<Item = u64>, width: usize, is_ascii: bool) -> Self {
        Self { largest: values.into_iter().max().unwrap_or(0), width, is_ascii }
    }

    /// Nothing is no bar; whatever is more than nothing can be seen.
    pub(super) fn bar(self, value: u64) -> String {
        if value == 0 || self.width == 0 {
            return String::new();
        }
        let steps = if self.is_ascii { 1 } else { 8 };
        // 128 bits: sums of money times columns do not fit into 64.
        let all = self.width as u128 * steps;
        let part = (u128::from(value) * all + u128::from(self.largest) / 2) / u128::from(self.largest.max(1));
        let part = usize::try_from(part.clamp(1, all)).unwrap_or(self.width);
        if self.is_ascii {
            return "#".repeat(part);
        }
        let mut bar = WHOLE.to_string().repeat(part / 8);
        bar.extend((part % 8).checked_sub(1).map(|eighths| PARTS[eighths]));
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(values: &[u64], width: usize, is_ascii: bool) -> Vec<String> {
        let scale = Scale::new(values.iter().copied(), width, is_ascii);
        values.iter().map(|value| scale.bar(*value)).collect()
    }

    #[test]
    fn the_largest_fills_the_width_and_others_their_part_of_it() {
        assert_eq!(bars(&[80, 40, 15, 0], 4, false), ["████", "██", "▊", ""]);
        assert_eq!(bars(&[80, 40, 15, 0], 4, true), ["####", "##", "#", ""]);
    }

    #[test]
    fn little_is_more_than_nothing() {
        assert_eq!(bars(&[1_000_000, 1], 10, false)[1], "▏");
        assert_eq!(bars(&[u64::MAX, 1], 3, true), ["###", "#"]);
    }

    #[test]
    fn nothing_at_all_is_drawn_as_nothing() {
        assert_eq!(bars(&[0, 0], 10, false), ["", ""]);
        assert_eq!(bars(&[5], 0, false), [""]);
    }
}
