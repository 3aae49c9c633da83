//! The rows of a CSV file. The file is read once, by the command, which notes where each row begins. Workers find a row
//! by its place, so that a machine holds the rows once, however many processes use them.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv_core::ReadRecordResult;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::scratch::Scratch;
use crate::system;

/// The longest row, in bytes. A quote that is never closed would make a row of the rest of the file. A call with the
/// largest body has some 90 MB.
const MOST_OF_ROW: u64 = if cfg!(test) { 1 << 20 } else { 128 << 20 };

thread_local! {
    /// Making a reader is far more expensive than reading a row with it, and a clone of one reads nothing.
    static READER: RefCell<csv_core::Reader> = RefCell::new(csv_core::Reader::new());
}

/// A file of up to this many bytes is held in the memory of each process. Reading a row is then no system call.
const SMALL: u64 = 1 << 20;

/// The bytes of one entry among the places.
const ENTRY: u64 = size_of::<u64>() as u64;

/// The rows of a CSV file, whose first line names the columns.
#[derive(Debug, Default)]
pub struct Rows {
    facts: Facts,
    /// Where each row begins, and where the last one ends.
    places: Held,
    content: Held,
    /// Keeps both for other processes: the paths in the facts are those of open files.
    _kept: Option<(Scratch, File)>,
}

/// What is known of the rows of a file, and where another process finds them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// How many rows there are.
    pub rows: u64,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    content: PathBuf,
    places: PathBuf,
}

/// Rows that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the data file `{path}`: {problem}")]
pub struct RowsError {
    path: String,
    problem: String,
}

/// Bytes that are found by their place.
#[derive(Debug)]
enum Held {
    InMemory(Vec<u8>),
    InFile(File),
}

impl Default for Held {
    fn default() -> Self {
        Self::InMemory(Vec::new())
    }
}

impl Held {
    /// Holds what is in `path`.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() > SMALL {
            return Ok(Self::InFile(file));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self::InMemory(bytes))
    }

    fn bytes(&self, begin: u64, length: u64) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::InMemory(bytes) => {
                let found =
                    (begin as usize).checked_add(length as usize).and_then(|end| bytes.get(begin as usize..end));
                found.map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            Self::InFile(file) => {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, begin)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

impl Rows {
    /// Reads a CSV file. A line with a different number of fields is an error.
    pub fn read(path: &Path) -> Result<Self, RowsError> {
        let error = |problem| RowsError { path: path.display().to_string(), problem };
        let of_io = |problem: io::Error| error(problem.to_string());
        let path = &crate::input::here(path);
        let metadata = path.metadata().map_err(of_io)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "a pipe or a device" };
            return Err(error(format!("it is {what}: every process reads the rows from a file, so write them to one")));
        }
        let file = File::open(path).map_err(of_io)?;
        // The same file, even if another one gets its name.
        let content = system::path_of(&file).unwrap_or_else(|| path.to_owned());
        let mut facts = Facts { content, bytes: metadata.len(), ..Facts::default() };
        let mut problem = None;
        let scratch = Scratch::new(|places| {
            facts.scan(&file, BufWriter::new(places)).map_err(|error| {
                problem = Some(match error.kind() {
                    csv::ErrorKind::Utf8 { pos: Some(at), .. } => {
                        format!("line {} is not UTF-8: save it as UTF-8", at.line())
                    }
                    _ => error.to_string(),
                });
                io::ErrorKind::InvalidData.into()
            })
        });
        if let Some(problem) = problem {
            return Err(error(problem));
        }
        let scratch = scratch.map_err(|problem| error(format!("there is no place for its index: {problem}")))?;
        facts.places = scratch.path().to_owned();
        let places = Held::open(&facts.places).map_err(of_io)?;
        let content = Held::open(&facts.content).map_err(of_io)?;
        Ok(Self { facts, places, content, _kept: Some((scratch, file)) })
    }

    /// Finds rows that another process has read, and still holds.
    pub fn found(facts: Facts) -> io::Result<Self> {
        let (places, content) = (Held::open(&facts.places)?, Held::open(&facts.content)?);
        Ok(Self { facts, places, content, _kept: None })
    }

    /// What is known of them, for [`found`](Self::found) in another process.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.facts.columns
    }

    /// How many rows there are.
    pub fn count(&self) -> u64 {
        self.facts.rows
    }

    /// Row `i`, counted from 0, with a value for every column; `None` if there are not as many.
    pub fn row(&self, i: u64) -> io::Result<Option<Vec<String>>> {
        if i >= self.facts.rows {
            return Ok(None);
        }
        let place = self.places.bytes(i * ENTRY, 2 * ENTRY)?;
        let at = |entry: usize| place[entry * 8..][..8].try_into().map_or(0, u64::from_le_bytes);
        let text = self.content.bytes(at(0), at(1).saturating_sub(at(0))).map_err(changed)?;
        fields(&text, self.facts.columns.len()).map(Some).ok_or_else(|| changed(()))
    }

    /// All rows, in order, read one after the other.
    pub fn iter(&self) -> impl Iterator<Item = io::Result<Vec<String>>> {
        let content: Box<dyn Read + '_> = match &self.content {
            Held::InMemory(bytes) => Box::new(bytes.as_slice()),
            Held::InFile(file) => Box::new(FromBeginning { file, at: 0 }),
        };
        let strings = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
        // More may have been added to the file since it was read.
        let rows = usize::try_from(self.facts.rows).unwrap_or(usize::MAX);
        csv::Reader::from_reader(content)
            .into_records()
            .take(rows)
            .map(move |record| record.map(strings).map_err(changed))
    }
}

/// The error of a row that is not as it was.
fn changed<E>(_: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the data file was changed meanwhile")
}

/// Reads a file from its beginning, wherever others read it.
struct FromBeginning<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromBeginning<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.at)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Facts {
    /// Reads the file from its beginning, and writes where its rows are.
    fn scan(&mut self, file: &File, mut places: impl Write) -> Result<(), csv::Error> {
        let taken = Rc::new(Cell::new(0));
        let mut from = Watched { file, at: 0, taken: taken.clone(), digest: Sha256::new() };
        let mut reader = csv::Reader::from_reader(&mut from);
        self.columns = reader.headers()?.iter().map(str::to_owned).collect();
        self.rows = 0;
        let mut record = csv::StringRecord::new();
        let mut end = reader.position().byte();
        let (mut last, mut line) = (0, 1);
        loop {
            taken.set(0);
            let (begin, at) = (end, reader.position().line());
            if !reader.read_record(&mut record)? {
                break;
            }
            (last, line) = (begin, at);
            places.write_all(&begin.to_le_bytes())?;
            end = reader.position().byte();
            self.rows += 1;
        }
        places.write_all(&end.to_le_bytes())?;
        places.flush()?;
        self.bytes = from.at;
        // The last row is bounded, as all are.
        let mut row = vec![0; usize::try_from(end - last).unwrap_or_default()];
        file.read_exact_at(&mut row, last)?;
        if ends_within_a_quote(row) {
            return Err(io::Error::other(format!("line {line}: a quote is not closed")).into());
        }
        self.sha256 = from.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(())
    }
}

/// A file that is read from its beginning, with its digest. It gives an error if one row takes too much of it.
struct Watched<'a> {
    file: &'a File,
    at: u64,
    /// What was read since the row began.
    taken: Rc<Cell<u64>>,
    digest: Sha256,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken.get() > MOST_OF_ROW {
            let most = MOST_OF_ROW >> 20;
            return Err(io::Error::other(format!("a row has more than {most} MiB: a quote may not be closed")));
        }
        let length = self.file.read_at(buffer, self.at)?;
        self.digest.update(&buffer[..length]);
        self.at += length as u64;
        self.taken.set(self.taken.get() + length as u64);
        Ok(length)
    }
}

/// Whether a row ends within a quote: then another line would still belong to it.
fn ends_within_a_quote(mut row: Vec<u8>) -> bool {
    row.push(b'\n');
    READER.with_borrow_mut(|reader| {
        reader.reset();
        is_unfinished(reader, &row)
    })
}

fn is_unfinished(reader: &mut csv_core::Reader, row: &[u8]) -> bool {
    let (mut output, mut ends, mut read) = (vec![0; row.len()], vec![0; row.len() + 1], 0);
    let (mut written, mut ended) = (0, 0);
    while read < row.len() {
        let (result, input, out, end) = reader.read_record(&row[read..], &mut output[written..], &mut ends[ended..]);
        (read, written, ended) = (read + input, written + out, ended + end);
        if let ReadRecordResult::Record = result {
            return false;
        }
    }
    // Blank lines are no record.
    written > 0 || ended > 0
}

/// The fields of one row, if there are as many as `columns`.
fn fields(text: &[u8], columns: usize) -> Option<Vec<String>> {
    READER.with_borrow_mut(|reader| {
        reader.reset();
        fields_by(reader, text, columns)
    })
}

fn fields_by(reader: &mut csv_core::Reader, text: &[u8], columns: usize) -> Option<Vec<String>> {
    // Nothing becomes longer by unquoting.
    let (mut output, mut ends) = (vec![0; text.len()], vec![0; columns + 1]);
    let (mut read, mut written, mut ended) = (0, 0, 0);
    loop {
        let (result, input, out, end) = reader.read_record(&text[read..], &mut output[written..], &mut ends[ended..]);
        (read, written, ended) = (read + input, written + out, ended + end);
        match result {
            // Nothing left to read means the end of the row.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::Record => break,
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull | ReadRecordResult::End => return None,
        }
    }
    if ended != columns {
        return None;
    }
    let begins = std::iter::once(0).chain(ends.iter().copied());
    let values = begins.zip(&ends[..columns]).map(|(begin, &end)| std::str::from_utf8(output.get(begin..end)?).ok());
    values.map(|value| value.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Rows, RowsError> {
        read_bytes(text.as_bytes())
    }

    fn read_bytes(bytes: &[u8]) -> Result<Rows, RowsError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Rows::read(file.path())
    }

    fn all(rows: &Rows) -> Vec<Vec<String>> {
        rows.iter().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn the_first_line_names_the_columns() {
        let rows = read("\u{feff}user,password\nada,\"a, b\"\n\ngrace,\"x\n\"\"y\"\"\"").unwrap();
        assert_eq!(rows.columns(), ["user", "password"]);
        assert_eq!(all(&rows), [["ada", "a, b"], ["grace", "x\n\"y\""]]);
        assert_eq!(rows.row(2).unwrap(), None);
        assert_eq!(read("").unwrap().count(), 0);
    }

    #[test]
    fn an_error_gives_the_number_of_a_short_line() {
        let error = read("user,password\nada,x\ngrace\n").unwrap_err().to_string();
        assert!(error.contains("line: 3") || error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_fill_the_memory() {
        let error = read(&format!("a,b\n\"{}", "x,y\n".repeat(1 << 20))).unwrap_err().to_string();
        assert!(error.contains("a quote may not be closed"), "{error}");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_found_at_the_end() {
        for text in ["a,b\n1,\"2\n3,4\n", "a,\"b\n", "a,b\n1,2\n3,\"4"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.ends_with(": a quote is not closed"), "{text:?}: {error}");
        }
        for text in ["a,b\n1,\"2\n3\"", "a,b\n1,\"2\"\"\"\n", "a\n\n\n", "", "a,b\r\n1,2\r\n", "a,b\n1,x\"y\n"] {
            assert!(read(text).is_ok(), "{text:?}: {}", read(text).unwrap_err());
        }
        let error = read_bytes(b"a,b\n1,2\n3,\xe9\n").unwrap_err().to_string();
        assert!(error.ends_with("line 3 is not UTF-8: save it as UTF-8"), "{error}");
    }

    #[test]
    fn what_is_not_a_file_is_refused() {
        for (path, what) in [("/dev/zero", "a pipe or a device"), ("/tmp", "a directory")] {
            let error = Rows::read(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn another_process_finds_rows_of_a_file_that_has_lost_its_name() {
        let rows = 200_000;
        let text: String = (0..rows).map(|i| format!("{i},\"value of\n{i}\"\n")).collect();
        let small = read("n\n7\n").unwrap();
        assert_eq!(Rows::found(small.facts().clone()).unwrap().row(0).unwrap().unwrap(), ["7"]);
        let rows_of = read(&format!("n,text\n{text}")).unwrap();
        assert!(rows_of.facts().bytes > SMALL);
        let found = Rows::found(rows_of.facts().clone()).unwrap();
        for i in [0, 1, rows / 2, rows - 1] {
            assert_eq!(found.row(i).unwrap().unwrap(), [i.to_string(), format!("value of\n{i}")]);
        }
        assert_eq!(found.row(rows).unwrap(), None);
    }

    #[test]
    fn a_file_that_was_changed_is_an_error_and_not_another_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (0..400_000).map(|i| format!("{i},x\n")).collect();
        std::fs::write(file.path(), format!("a,b\n{text}")).unwrap();
        let rows = Rows::read(file.path()).unwrap();
        std::fs::write(file.path(), "short").unwrap();
        assert!(rows.row(7).is_err());
    }

    proptest! {
        #[test]
        fn each_row_is_what_a_reader_of_the_whole_file_sees(cells in prop::collection::vec(
            prop::collection::vec("[a\",\n\r é]{0,6}", 3), 0..20)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["x", "y", "z"]).unwrap();
            for row in &cells {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(all(&read(&text).unwrap()), cells);
        }
    }
}
