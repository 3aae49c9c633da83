//! The rows of the data file, `--data FILE.csv`.
//!
//! The host holds the file once per process; a task fetches a row when it needs it.
//!
//! ```
//! # gorgon_guest::testing::set_data(["user", "city"], &[["ann", "Oslo"], ["bob", "Rome"]]);
//! use gorgon_guest::data;
//!
//! #[gorgon_guest::operation]
//! fn greet(n: u64) -> String {
//!     match data::row_for(n) {
//!         Some(row) => format!("hello {} from {}", row["user"], row["city"]),
//!         None => "run me with --data users.csv".to_owned(),
//!     }
//! }
//! # assert_eq!(greet(2), "hello ann from Oslo");
//! ```

use std::ops::Index;
use std::rc::Rc;

use crate::host;

/// How many rows there are, the header not counted; 0 without a data file.
pub fn rows() -> u64 {
    host::rows()
}

/// The names of the columns, from the file's header.
pub fn columns() -> Vec<String> {
    header().to_vec()
}

/// Row `i`, counted from 0; `None` if there is no such row.
pub fn row(i: u64) -> Option<Row> {
    (i < rows()).then(|| fetch(i))
}

/// Set in the numbers of a warm-up.
const WARMUP: u64 = 1 << 63;

/// The row for operation `n`: row `n`, beginning again after the last; `None` if there are no rows. An operation of the
/// warm-up gets the row of its number with bit 63 cleared.
pub fn row_for(n: u64) -> Option<Row> {
    (n & !WARMUP).checked_rem(rows()).map(fetch)
}

/// One row of the data file: `row["user"]` is its value in that column and `row[0]` in the first.
///
/// Both panic where there is no such column; [`get`](Row::get) does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<String>,
}

impl Row {
    /// The value in the column of that name; `None` if there is no such column.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.value(column).map(String::as_str)
    }

    /// The values, in the order of the columns.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn value(&self, column: &str) -> Option<&String> {
        self.values.get(self.columns.iter().position(|name| name == column)?)
    }
}

impl Index<&str> for Row {
    type Output = String;

    fn index(&self, column: &str) -> &String {
        self.value(column)
            .unwrap_or_else(|| panic!("the data has no column `{column}`, only `{}`", self.columns.join("`, `")))
    }
}

impl Index<usize> for Row {
    type Output = String;

    fn index(&self, i: usize) -> &String {
        &self.values[i]
    }
}

fn fetch(i: u64) -> Row {
    Row { columns: header(), values: host::row(i) }
}

/// The header, asked for once: it stays the same for a whole run.
#[cfg(target_family = "wasm")]
fn header() -> Rc<[String]> {
    use std::cell::OnceCell;
    thread_local! {
        static HEADER: OnceCell<Rc<[String]>> = const { OnceCell::new() };
    }
    HEADER.with(|header| header.get_or_init(|| host::columns().into()).clone())
}

/// The header, asked for each time: a test may set other data.
#[cfg(not(target_family = "wasm"))]
fn header() -> Rc<[String]> {
    host::columns().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::set_data;

    #[test]
    fn there_are_no_rows_without_data() {
        assert_eq!((rows(), columns(), row(0), row_for(7)), (0, vec![], None, None));
    }

    #[test]
    fn a_row_gives_its_values_by_name_and_by_index() {
        set_data(["user", "city"], &[["ann", "Oslo"], ["bob", "Rome"]]);
        let bob = row(1).expect("there are two rows");
        assert!(bob["user"] == "bob" && bob[1] == "Rome");
        assert_eq!((bob.get("city"), bob.get("street")), (Some("Rome"), None));
        assert_eq!(bob.values(), ["bob", "Rome"]);
        assert_eq!((columns(), row(2)), (vec!["user".to_owned(), "city".to_owned()], None));
    }

    #[test]
    fn operations_begin_again_after_the_last_row() {
        set_data(["user"], &[["ann"], ["bob"], ["cy"]]);
        let user = |n| row_for(n).map(|row| row[0].clone());
        assert_eq!(user(2), Some("cy".to_owned()));
        assert_eq!(user(3), Some("ann".to_owned()));
        assert_eq!(user(u64::MAX), user(u64::MAX >> 1), "bit 63 is cleared");
        assert_eq!(user((1 << 63) + 4), Some("bob".to_owned()));
    }

    #[test]
    #[should_panic(expected = "the data has no column `name`, only `user`, `city`")]
    fn a_missing_column_is_named_with_those_that_exist() {
        set_data(["user", "city"], &[["ann", "Oslo"]]);
        let _ = &row_for(0).expect("there is a row")["name"];
    }
}
