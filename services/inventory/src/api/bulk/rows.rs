//! Rows of a table as they come in, piece by piece: CSV with a header, or a JSON document a line.

use std::collections::BTreeMap;

use serde_json::Value;

/// A row as it was read: its number, and its fields by the names of their columns; or what is wrong
/// with it as a whole.
pub(super) type Row = (u64, Result<BTreeMap<String, String>, String>);

/// Bytes of one row, at most.
const LONGEST_ROW: usize = 64 * 1024;

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Comma-separated values (RFC 4180), the first row naming the columns. A semicolon or a tab
    /// between the fields is found out from that row.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// Reads rows from bytes that come in pieces.
pub(super) enum Rows {
    Csv(Box<Csv>),
    JsonLines(Lines),
}

impl Rows {
    pub(super) fn of(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv(Box::default()),
            Format::JsonLines => Self::JsonLines(Lines::default()),
        }
    }

    /// The rows that end within these bytes. An error ends the whole table.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Row>, String> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Csv(csv) => csv.read(bytes),
            Self::JsonLines(lines) => lines.read(bytes),
        }
    }

    /// The last row, where nothing ends it.
    pub(super) fn finish(&mut self) -> Result<Vec<Row>, String> {
        match self {
            Self::Csv(csv) => csv.read(&[]),
            Self::JsonLines(lines) => lines.read(b"\n"),
        }
    }
}

/// CSV under way.
#[derive(Default)]
pub(super) struct Csv {
    reader: Option<csv_core::Reader>,
    /// Bytes from before the first line was whole.
    head: Vec<u8>,
    fields: Vec<u8>,
    ends: Vec<usize>,
    written: (usize, usize),
    columns: Option<Vec<String>>,
    row: u64,
}

impl Csv {
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<Row>, String> {
        if self.reader.is_some() {
            return self.records(bytes);
        }
        self.head.extend_from_slice(bytes);
        let whole = bytes.is_empty() || self.head.contains(&b'\n');
        if !whole {
            let is_short = self.head.len() <= LONGEST_ROW;
            return if is_short { Ok(Vec::new()) } else { Err(too_long(1)) };
        }
        let head = std::mem::take(&mut self.head);
        self.reader = Some(csv_core::ReaderBuilder::new().delimiter(delimiter(&head)).build());
        let mut rows = if head.is_empty() { Vec::new() } else { self.records(&head)? };
        if bytes.is_empty() {
            rows.extend(self.records(&[])?);
        }
        Ok(rows)
    }

    /// The records that end within these bytes; none of them says that there will be no more.
    fn records(&mut self, mut bytes: &[u8]) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        let is_end = bytes.is_empty();
        let Some(reader) = &mut self.reader else { return Ok(rows) };
        loop {
            if bytes.is_empty() && !is_end {
                return Ok(rows);
            }
            let (fields, ends) = (&mut self.fields[self.written.0..], &mut self.ends[self.written.1..]);
            let (result, read, written, ended) = reader.read_record(bytes, fields, ends);
            bytes = &bytes[read..];
            self.written = (self.written.0 + written, self.written.1 + ended);
            match result {
                csv_core::ReadRecordResult::InputEmpty if is_end => {}
                csv_core::ReadRecordResult::InputEmpty | csv_core::ReadRecordResult::End => return Ok(rows),
                csv_core::ReadRecordResult::OutputFull if self.fields.len() >= LONGEST_ROW => {
                    return Err(too_long(self.row + 1));
                }
                // An empty field is a byte of the row, and none of what is written.
                csv_core::ReadRecordResult::OutputEndsFull if self.ends.len() >= LONGEST_ROW => {
                    return Err(too_long(self.row + 1));
                }
                csv_core::ReadRecordResult::OutputFull => self.fields.resize((self.fields.len() * 2).max(1_024), 0),
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.resize((self.ends.len() * 2).max(16), 0),
                csv_core::ReadRecordResult::Record => {
                    self.row += 1;
                    let record = texts(&self.fields, &self.ends[..self.written.1]);
                    self.written = (0, 0);
                    match (&self.columns, record) {
                        (None, Ok(columns)) => {
                            self.columns = Some(columns.into_iter().map(|name| name.trim().to_owned()).collect());
                        }
                        (None, Err(error)) => return Err(format!("row 1: {error}")),
                        (Some(columns), record) => rows.push((self.row, record.and_then(|row| named(columns, row)))),
                    }
                }
            }
        }
    }

    /// The names of the columns, once the first row has come.
    pub(super) fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }
}

fn named(columns: &[String], row: Vec<String>) -> Result<BTreeMap<String, String>, String> {
    if row.len() != columns.len() {
        return Err(format!("it has {} fields, and the first row names {} columns", row.len(), columns.len()));
    }
    Ok(columns.iter().cloned().zip(row).collect())
}

fn texts(fields: &[u8], ends: &[usize]) -> Result<Vec<String>, String> {
    let mut start = 0;
    let text = |end: &usize| {
        let field = &fields[std::mem::replace(&mut start, *end)..*end];
        std::str::from_utf8(field).map(str::to_owned).map_err(|_| "it is not UTF-8; save the file as UTF-8".to_owned())
    };
    ends.iter().map(text).collect()
}

/// What stands between the fields of the first line: whichever of the usual ones stands there most.
fn delimiter(head: &[u8]) -> u8 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: &u8| line.split(|byte| byte == delimiter).count();
    b"\t;,".iter().max_by_key(|delimiter| count(delimiter)).copied().unwrap_or(b',')
}

/// Lines of JSON under way.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    row: u64,
}

impl Lines {
    fn read(&mut self, bytes: &[u8]) -> Result<Vec<Row>, String> {
        self.rest.extend_from_slice(bytes);
        let mut rows = Vec::new();
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = &self.rest[begin..begin + length];
            begin += length + 1;
            self.row += 1;
            if !line.trim_ascii().is_empty() {
                rows.push((self.row, object(line)));
            }
        }
        self.rest.drain(..begin);
        if self.rest.len() > LONGEST_ROW { Err(too_long(self.row + 1)) } else { Ok(rows) }
    }
}

fn object(line: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let expected = || "an object of JSON with texts and numbers is expected".to_owned();
    let object: serde_json::Map<String, Value> = serde_json::from_slice(line).map_err(|_| expected())?;
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok(Some((name, text))),
        Value::Number(number) => Ok(Some((name, number.to_string()))),
        Value::Null => Ok(None),
        _ => Err(expected()),
    };
    object.into_iter().filter_map(|field| text(field).transpose()).collect()
}

fn too_long(row: u64) -> String {
    format!("row {row} has more than {LONGEST_ROW} bytes; is a quotation mark missing before it?")
}

#[cfg(test)]
mod tests {
    use super::{Format, Row, Rows};

    /// Reads a table in pieces of so many bytes.
    fn read(format: Format, text: &[u8], piece: usize) -> Result<Vec<Row>, String> {
        let mut rows = Rows::of(format);
        let mut all = Vec::new();
        for bytes in text.chunks(piece) {
            all.extend(rows.read(bytes)?);
        }
        all.extend(rows.finish()?);
        Ok(all)
    }

    fn shown(rows: &[Row]) -> Vec<String> {
        let fields = |row: &std::collections::BTreeMap<String, String>| {
            row.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ")
        };
        rows.iter()
            .map(|(number, row)| format!("{number} {}", row.as_ref().map_or_else(Clone::clone, fields)))
            .collect()
    }

    #[test]
    fn a_table_reads_the_same_however_it_is_cut() {
        let csv = "\u{feff}sku,counted\r\nA,1\r\n\"B, \"\"big\"\"\nand blue\",2\r\nÄ,3".as_bytes();
        let json = b"{\"sku\":\"A\",\"counted\":1}\n\n{\"sku\":\"B\",\"counted\":\"2\",\"x\":null}";
        for piece in 1..40 {
            let rows = shown(&read(Format::Csv, csv, piece).unwrap());
            assert_eq!(rows, ["2 counted=1 sku=A", "3 counted=2 sku=B, \"big\"\nand blue", "4 counted=3 sku=Ä"]);
            let rows = shown(&read(Format::JsonLines, json, piece).unwrap());
            assert_eq!(rows, ["1 counted=1 sku=A", "3 counted=2 sku=B"]);
        }
    }

    #[test]
    fn semicolons_and_tabs_are_found_out() {
        for text in ["sku;counted\nA,B;1\n", "sku\tcounted\nA,B\t1\n"] {
            assert_eq!(shown(&read(Format::Csv, text.as_bytes(), 7).unwrap()), ["2 counted=1 sku=A,B"]);
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_and_the_others_are_read() {
        let rows = read(Format::Csv, b"sku,counted\nA\nB,2\n\xff,3\nC,4\n", 5).unwrap();
        let rows = shown(&rows);
        assert!(rows[0].starts_with("2 it has 1 fields"), "{rows:?}");
        assert_eq!(rows[1], "3 counted=2 sku=B");
        assert!(rows[2].starts_with("4 it is not UTF-8"), "{rows:?}");
        assert_eq!(rows[3], "5 counted=4 sku=C");
        let rows = shown(&read(Format::JsonLines, b"{\"sku\":\n{\"sku\":[1]}\n{\"sku\":\"A\"}\n", 5).unwrap());
        assert!(rows[0].starts_with("1 an object") && rows[1].starts_with("2 an object"), "{rows:?}");
        assert_eq!(rows[2], "3 sku=A");
    }

    #[test]
    fn a_quotation_mark_that_is_never_closed_does_not_fill_the_memory() {
        let text = format!("sku,counted\n\"A,1\n{}", "B,2\n".repeat(100_000));
        assert!(read(Format::Csv, text.as_bytes(), 4_096).unwrap_err().contains("row 2"));
        let text = "x".repeat(200_000);
        assert!(read(Format::Csv, text.as_bytes(), 4_096).is_err());
        assert!(read(Format::JsonLines, text.as_bytes(), 4_096).is_err());
    }

    #[test]
    fn a_row_of_nothing_but_commas_does_not_fill_the_memory() {
        let commas = ",".repeat(1_000_000);
        for (text, row) in [(commas.clone(), "row 1"), (format!("sku,counted\nA,1\n{commas}"), "row 3")] {
            assert!(read(Format::Csv, text.as_bytes(), 4_096).unwrap_err().contains(row));
        }
    }

    #[test]
    fn nothing_has_no_rows() {
        for format in [Format::Csv, Format::JsonLines] {
            assert_eq!(read(format, b"", 1).unwrap(), []);
        }
    }
}
