//! Which traces are sent.

/// Which traces are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The part of all traces, from 0 to 1, told by their numbers.
    pub part: f64,
    /// Whether whoever began a trace has decided already, wherever that was.
    pub heeds_parent: bool,
}

impl Sampler {
    /// Whether the steps of a trace are sent; `parent` is what was decided before, if it began elsewhere.
    ///
    /// A part is told by the lower half of the number, so that programs with the same part take the same
    /// traces. Source: <https://www.w3.org/TR/trace-context-2/#random-trace-id-flag>.
    pub fn takes(self, parent: Option<bool>, trace_id: u128) -> bool {
        if let (Some(decided), true) = (parent, self.heeds_parent) {
            return decided;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
        let low = (trace_id as u64) >> 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a bound between 0 and 2^63 that need not be exact"
        )]
        let bound = (self.part.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        low < bound
    }
}

#[cfg(test)]
mod tests {
    use super::Sampler;

    #[test]
    fn a_part_of_the_traces_is_told_by_their_numbers() {
        let takes = |part, trace_id| Sampler { part, heeds_parent: false }.takes(Some(true), trace_id);
        let spread = |number: u128| number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let sampled = (1..=10_000).filter(|number| takes(0.25, spread(*number))).count();
        assert!((2_200..2_800).contains(&sampled), "{sampled}");
        assert!(takes(1.0, u128::MAX) && takes(1.0, 1) && !takes(0.0, u128::MAX) && !takes(0.0, 1));
    }

    #[test]
    fn what_was_decided_before_holds_where_it_is_heeded() {
        for (part, decided) in [(0.0, true), (1.0, false)] {
            let takes = |heeds_parent, parent| Sampler { part, heeds_parent }.takes(parent, 7);
            assert_eq!((takes(true, Some(decided)), takes(true, None)), (decided, !decided));
            assert_eq!(takes(false, Some(decided)), !decided);
        }
    }
}
