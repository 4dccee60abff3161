//! What of a Rust file is code, what is text in quotes, and what is a comment.
//!
//! No syntax tree is needed for what is checked here, only this: a word in a comment is no code, and a
//! brace in a text closes nothing.

/// A Rust file, twice: in each, what does not belong to it is blank, so that places and lines agree.
#[derive(Debug)]
pub(crate) struct Source {
    /// Without texts and comments; the quotes stay.
    pub(crate) code: Vec<char>,
    /// Only what stands between quotes.
    pub(crate) texts: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Text,
    Comment,
}

impl Source {
    /// Takes a file apart.
    pub(crate) fn of(file: &str) -> Self {
        let chars: Vec<char> = file.chars().collect();
        let parts = parts_of(&chars);
        let only = |wanted| {
            let keep = move |(char, part): (&char, &Part)| if *part == wanted || *char == '\n' { *char } else { ' ' };
            chars.iter().zip(&parts).map(keep)
        };
        Self { code: only(Part::Code).collect(), texts: only(Part::Text).collect() }
    }

    /// The code as text.
    pub(crate) fn code(&self) -> String {
        self.code.iter().collect()
    }

    /// The line in which a place of the code lies, from 1.
    pub(crate) fn line_of(&self, place: usize) -> usize {
        1 + self.code[..place].iter().filter(|char| **char == '\n').count()
    }

    /// The place of the brace that closes the one at a place; the end of the file where none does.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (place, char) in self.code.iter().enumerate().skip(open) {
            match char {
                '{' => depth += 1,
                '}' if depth == 1 => return place,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.code.len()
    }

    /// The places at which a word begins in the code, with no letter, digit or `_` beside it.
    pub(crate) fn words(&self, word: &str) -> Vec<usize> {
        let word: Vec<char> = word.chars().collect();
        let is_part = |place: usize| self.code.get(place).is_some_and(|char| char.is_alphanumeric() || *char == '_');
        let found = self.code.windows(word.len()).enumerate().filter(|(_, window)| *window == word);
        let alone = |place: &usize| !is_part(place.wrapping_sub(1)) && !is_part(place + word.len());
        found.map(|(place, _)| place).filter(alone).collect()
    }
}

/// A stretch of one kind; `open` and `close` say how many of its first and last characters are quotes.
struct Stretch {
    part: Part,
    length: usize,
    open: usize,
    close: usize,
}

impl Stretch {
    const ONE_OF_CODE: Self = Self { part: Part::Code, length: 1, open: 0, close: 0 };

    fn comment(length: usize) -> Self {
        Self { part: Part::Comment, length, open: 0, close: 0 }
    }

    fn text(length: usize) -> Self {
        Self { part: Part::Text, length, open: 1, close: 1 }
    }
}

fn parts_of(chars: &[char]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(chars.len());
    while parts.len() < chars.len() {
        let at = parts.len();
        let rest = &chars[at..];
        let Stretch { part, length, open, close } = match rest {
            ['/', '/', ..] => Stretch::comment(line(rest)),
            ['/', '*', ..] => Stretch::comment(block(rest)),
            ['"', ..] => Stretch::text(quoted(rest)),
            ['r', '"' | '#', ..] if !is_name(chars, at) => raw(rest).unwrap_or(Stretch::ONE_OF_CODE),
            ['\'', '\\', _, rest @ ..] => {
                Stretch::text(4 + rest.iter().position(|char| *char == '\'').unwrap_or(rest.len()))
            }
            ['\'', _, '\'', ..] => Stretch::text(3),
            _ => Stretch::ONE_OF_CODE,
        };
        let end = (at + length).min(chars.len());
        let within = at + open..end.saturating_sub(close);
        parts.extend((at..end).map(|place| if open == 0 || within.contains(&place) { part } else { Part::Code }));
    }
    parts
}

/// Whether the character before belongs to a name, as the `r` of `for` does; `br` is a raw text too.
fn is_name(chars: &[char], at: usize) -> bool {
    let before = |by: usize| at.checked_sub(by).and_then(|place| chars.get(place)).copied().unwrap_or(' ');
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    is_part(before(1)) && (before(1) != 'b' || is_part(before(2)))
}

fn line(rest: &[char]) -> usize {
    rest.iter().position(|char| *char == '\n').unwrap_or(rest.len())
}

fn block(rest: &[char]) -> usize {
    let (mut depth, mut place) = (0, 0);
    while place < rest.len() {
        match &rest[place..] {
            ['/', '*', ..] => (depth, place) = (depth + 1, place + 2),
            ['*', '/', ..] if depth == 1 => return place + 2,
            ['*', '/', ..] => (depth, place) = (depth - 1, place + 2),
            _ => place += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[char]) -> usize {
    let mut place = 1;
    while place < rest.len() {
        match rest[place] {
            '\\' => place += 2,
            '"' => return place + 1,
            _ => place += 1,
        }
    }
    rest.len()
}

/// A raw text; none for a raw name like `r#type`.
fn raw(rest: &[char]) -> Option<Stretch> {
    let hashes = rest.iter().skip(1).take_while(|char| **char == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = rest.get(2 + hashes..)?;
    let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    let length = (2 + hashes + end + close.len()).min(rest.len());
    Some(Stretch { part: Part::Text, length, open: 2 + hashes, close: close.len() })
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn trimmed(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn texts_and_comments_are_no_code() {
        let source =
            Source::of("a(\"b \\\" c\"); // d \"e\"\n/* f /* g */ h */ i('j', '\\n', '\\u{6b}'); fn k<'l>() {}");
        assert_eq!(trimmed(&source.texts), ["b", "\\\"", "c", "j", "\\n", "\\u{6b}"]);
        assert_eq!(source.code().replace(' ', ""), "a(\"\");\ni('','','');fnk<'l>(){}");
    }

    #[test]
    fn raw_texts_end_with_their_hashes_and_raw_names_are_code() {
        let source = Source::of("a(r#\"b \" c\"#, br\"d\"); r#type = for_r\"e\";");
        assert_eq!(trimmed(&source.texts), ["b", "\"", "c", "d", "e"]);
        assert!(source.code().contains("r#type = for_r"), "{}", source.code());
    }

    #[test]
    fn words_stand_alone_and_braces_close() {
        let source = Source::of("fn a() { fnord { \"}\" } }\nfn b() {}");
        assert_eq!(source.words("fn"), [0, 25]);
        assert_eq!(source.closing(7), 23);
        assert_eq!(source.line_of(25), 2);
    }
}
