//! Shows requests and responses to a person who watches, as they are sent and received.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use anstyle::Style;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::guest_text::{line, tabbed_line};
use crate::terminal;

const DIM: Style = Style::new().dimmed();

/// So many bytes of a body are shown.
const MOST_SHOWN: usize = 16 * 1024;

/// Shows the head of a request.
pub(super) fn request(request: &Request<WasiBody>, version: Version) {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let version = if version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" };
    head('>', &format!("{} {path} {version}", request.method()));
    if let Some(authority) = request.uri().authority().filter(|_| !request.headers().contains_key(HOST)) {
        head('>', &format!("host: {authority}"));
    }
    headers('>', request.headers());
}

/// A body that is shown at its end.
pub(super) fn body(body: WasiBody) -> WasiBody {
    Shown { body, kept: Vec::new(), bytes: 0 }.boxed_unsync()
}

/// The response, whose head is shown now, and its body when it was received.
pub(super) fn response(response: Response<WasiBody>) -> Response<WasiBody> {
    head('<', &format!("{:?} {}", response.version(), response.status()));
    headers('<', response.headers());
    response.map(body)
}

fn headers(mark: char, headers: &HeaderMap) {
    for (name, value) in headers {
        head(mark, &format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
    head(mark, "");
}

fn head(mark: char, text: &str) {
    /// The most bytes of a line that are shown.
    const MOST: usize = 4_096;
    let (text, more) = if text.len() <= MOST { (text, "") } else { (&text[..text.floor_char_boundary(MOST)], " …") };
    print(&format!("{DIM}{mark} {}{more}{DIM:#}", line(text)));
}

fn print(text: &str) {
    // If stdout is closed, there is nothing to show.
    let _ = writeln!(terminal::stdout(), "{text}");
}

/// A body that is shown at its end.
struct Shown {
    body: WasiBody,
    kept: Vec<u8>,
    bytes: usize,
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        // A character may have been cut at the end.
        let text = match std::str::from_utf8(&self.kept) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && self.bytes > self.kept.len() => {
                std::str::from_utf8(&self.kept[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return print(&format!("({} bytes)", self.bytes)),
        };
        text.trim_end_matches('\n').split('\n').for_each(|text| print(&tabbed_line(text.trim_end_matches('\r'))));
        if self.bytes > text.len() {
            print(&format!("({} bytes more)", self.bytes - text.len()));
        }
    }
}

impl Body for Shown {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let room = MOST_SHOWN - self.kept.len();
            self.kept.extend_from_slice(&data[..data.len().min(room)]);
            self.bytes += data.len();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
