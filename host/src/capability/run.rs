//! `gorgon:task/run`: what `prepare` returned, the rows of the data file, and whether this is the warm-up.

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::Linker;

use crate::capability::guest::Guest;
use crate::plan::FIRST_UNCOUNTED;

/// The rows of a CSV file.
#[derive(Debug, Default)]
pub struct Data {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A data file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the data file `{path}`: {problem}")]
pub struct DataError {
    path: String,
    problem: String,
}

impl Data {
    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows, each with a value for every column.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Reads a CSV file whose first line names the columns. A line with a different number of fields is an error.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let error = |error: csv::Error| DataError { path: path.display().to_string(), problem: error.to_string() };
        let strings = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
        let mut reader = csv::Reader::from_path(path).map_err(error)?;
        let columns = strings(reader.headers().map_err(error)?);
        let rows = reader.records().map(|record| record.map(|record| strings(&record)).map_err(error));
        Ok(Self { columns, rows: rows.collect::<Result<_, _>>()? })
    }
}

/// What a run gives its operations; shared by all instances of a process.
#[derive(Debug, Default)]
pub struct Given {
    /// What `prepare` returned.
    pub prepared: String,
    /// The rows of the data file.
    pub data: Data,
}

/// Links `gorgon:task/run`.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut run = linker.instance("gorgon:task/run@0.1.0")?;
    run.func_wrap("prepared", |store, (): ()| Ok((store.data().given.prepared.clone(),)))?;
    run.func_wrap("rows", |store, (): ()| Ok((store.data().given.data.rows.len() as u64,)))?;
    run.func_wrap("columns", |store, (): ()| Ok((store.data().given.data.columns.clone(),)))?;
    run.func_wrap("row", |store, (i,): (u64,)| {
        let given: &Arc<Given> = &store.data().given;
        let rows = &given.data.rows;
        match usize::try_from(i).ok().and_then(|i| rows.get(i)) {
            Some(row) => Ok((row.clone(),)),
            None => {
                let warmup = if i >= FIRST_UNCOUNTED { "; clear bit 63 of a number of the warm-up" } else { "" };
                let rows = rows.len();
                Err(wasmtime::format_err!("there is no row {i}: the data has {rows} rows, counted from 0{warmup}"))
            }
        }
    })?;
    run.func_wrap("is-warmup", |store, (): ()| Ok((store.data().number >= FIRST_UNCOUNTED,)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(text: &str) -> Result<Data, DataError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Data::read(file.path())
    }

    #[test]
    fn the_first_line_names_the_columns() {
        let data = read("user,password\nada,\"a, b\"\ngrace,x\n").unwrap();
        assert_eq!(data.columns, ["user", "password"]);
        assert_eq!(data.rows, [["ada", "a, b"], ["grace", "x"]]);
    }

    #[test]
    fn an_error_gives_the_number_of_a_short_line() {
        let error = read("user,password\nada,x\ngrace\n").unwrap_err().to_string();
        assert!(error.contains("line: 3") || error.contains("line 3"), "{error}");
    }
}
