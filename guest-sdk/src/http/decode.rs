//! Decodes bodies: `Content-Encoding` (RFC 9110, section 8.4).

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::StreamingDecoder;

/// What can be decoded, for `Accept-Encoding`.
pub(super) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// The longest body that a decoder makes, in bytes: a few bytes can stand for any number.
const LONGEST: u64 = 256 << 20;

/// What brotli reads at once.
const BUFFER: usize = 4_096;

/// The body before it was encoded by `encodings`, the value of `Content-Encoding`; `None` if one of them is not known.
pub(super) fn decoded(encodings: &str, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut body = body.to_vec();
    // They were applied in this order.
    for encoding in encodings.rsplit(',').map(|encoding| encoding.trim().to_ascii_lowercase()) {
        let decoded = match encoding.as_str() {
            "" | "identity" => continue,
            "gzip" | "x-gzip" => all(MultiGzDecoder::new(&body[..])),
            // Some servers leave out what the standard has around it.
            "deflate" => all(ZlibDecoder::new(&body[..])).or_else(|_| all(DeflateDecoder::new(&body[..]))),
            "br" => all(Decompressor::new(&body[..], BUFFER)),
            "zstd" => StreamingDecoder::new(&body[..]).map_err(io::Error::other).and_then(all),
            _ => return Ok(None),
        };
        body = decoded.map_err(|error| format!("its body is not {encoding}, as its content-encoding says: {error}"))?;
    }
    Ok(Some(body))
}

fn all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut all)?;
    if all.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it has more than {} MiB", LONGEST >> 20)));
    }
    Ok(all)
}
