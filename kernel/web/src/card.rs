//! Card numbers: recognised, so that they are refused and never kept or said back.

/// Digits of a card number. Source: ISO/IEC 7812-1 (at most 19; the shortest in use has 13).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether something in the text passes as a card number: 13 to 19 digits, also full-width ones, grouped by spaces,
/// dashes or dots or not, not all the same, whose last is the check digit of Luhn's formula.
///
/// One in ten random numbers of that length passes as well; ask it only of texts where nobody has
/// a reason to send such a number.
pub fn contains_card_number(text: &str) -> bool {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut is_open = false;
    for character in text.chars() {
        if let Some(digit) = digit(character) {
            match groups.last_mut() {
                Some(group) if is_open => group.push(digit),
                _ => groups.push(vec![digit]),
            }
            is_open = true;
            continue;
        }
        if is_open && ends_with_card_number(&groups) {
            return true;
        }
        is_open = false;
        if !is_within_a_number(character) {
            groups.clear();
        }
    }
    is_open && ends_with_card_number(&groups)
}

fn digit(character: char) -> Option<u32> {
    match character {
        '\u{ff10}'..='\u{ff19}' => Some(u32::from(character) - u32::from('\u{ff10}')),
        _ => character.to_digit(10),
    }
}

/// Whether people group digits by it: a space, a dash or a dot.
fn is_within_a_number(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | '.' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}')
}

/// Whether the last few of these groups together are a card number.
fn ends_with_card_number(groups: &[Vec<u32>]) -> bool {
    let mut length = 0;
    (0..groups.len())
        .rev()
        .map_while(|first| {
            length += groups[first].len();
            (length <= *DIGITS.end()).then_some((first, length))
        })
        .any(|(first, length)| DIGITS.contains(&length) && passes_luhn(&groups[first..].concat()))
}

/// Luhn's check, and not all digits the same. Source: ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match *digit {
            digit if place % 2 == 0 => digit,
            digit if digit > 4 => 2 * digit - 9,
            digit => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

#[cfg(test)]
mod tests {
    use super::contains_card_number;

    #[test]
    fn a_card_number_is_found_however_it_is_written() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "card: 378282246310005.",
            "order 12 4242 4242 4242 4242",
            "é4222222222222",
            "4242.4242.4242.4242",
            "4242\u{a0}4242\u{2011}4242\u{2009}4242",
            "\u{ff14}\u{ff12}\u{ff14}\u{ff12}4242 4242 4242",
            "6304000000000000000 ",
        ] {
            assert!(contains_card_number(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_card_number_is_let_through() {
        for text in [
            "",
            "pm_card_visa",
            "4242424242424241",
            "0000000000000000",
            "424242424242",
            "42424242424242424242",
            "4242/4242/4242/4242",
            "192.168.100.200:65535",
            "\u{661}234567890123452",
            "2026-01-31T12:00:00.000000Z",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }
}
