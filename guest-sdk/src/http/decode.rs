//! Decodes bodies: `Content-Encoding` (RFC 9110, section 8.4).

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

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
            "zstd" => all(Frames { rest: &body, frame: None }),
            _ => return Ok(None),
        };
        body = decoded.map_err(|error| format!("its body cannot be decoded from {encoding}: {error}"))?;
    }
    Ok(Some(body))
}

/// The frames of zstd, which follow each other (RFC 8878, section 3).
struct Frames<'a> {
    rest: &'a [u8],
    frame: Option<StreamingDecoder<&'a [u8], FrameDecoder>>,
}

impl Read for Frames<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(to)? {
                    0 => self.rest = frame.get_ref(),
                    read => return Ok(read),
                }
            }
            self.frame = None;
            match self.rest {
                [] => return Ok(0),
                // One that holds nothing of the body, with its length.
                [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, rest @ ..] => {
                    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                    self.rest = rest.get(length..).ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                frame => self.frame = Some(StreamingDecoder::new(frame).map_err(io::Error::other)?),
            }
        }
    }
}

fn all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut all)?;
    if all.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it has more than {} MiB", LONGEST >> 20)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIP: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\xca\x4c\x51\xb2\x52\x30\xaf\x05\x00\x03\xe7\x8e\
        \x00\x09\x00\x00\x00";
    const ZLIB: &[u8] = b"\x78\x9c\xab\x56\xca\x4c\x51\xb2\x52\x30\xaf\x05\x00\x0d\x80\x02\x9b";
    const RAW: &[u8] = b"\xab\x56\xca\x4c\x51\xb2\x52\x30\xaf\x05\x00";
    const BROTLI: &[u8] = b"\x0b\x04\x80\x7b\x22\x69\x64\x22\x3a\x20\x37\x7d\x03";
    const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x04\x58\x49\x00\x00\x7b\x22\x69\x64\x22\x3a\x20\x37\x7d\x3a\x45\xec\xd8";
    const TEXT: &[u8] = br#"{"id": 7}"#;

    #[test]
    fn what_other_tools_have_encoded_is_decoded() {
        let (twice, frames) = ([GZIP, GZIP].concat(), [ZSTD, b"\x50\x2a\x4d\x18\x02\x00\x00\x00xx", ZSTD].concat());
        for (encodings, body, text) in [
            ("gzip", GZIP, TEXT),
            ("X-GZIP", GZIP, TEXT),
            ("gzip", &twice, &[TEXT, TEXT].concat()),
            ("deflate", ZLIB, TEXT),
            ("deflate", RAW, TEXT),
            ("br", BROTLI, TEXT),
            ("zstd", ZSTD, TEXT),
            ("zstd", &frames, &[TEXT, TEXT].concat()),
            ("identity", TEXT, TEXT),
            ("", TEXT, TEXT),
            ("identity, gzip", GZIP, TEXT),
        ] {
            assert_eq!(decoded(encodings, body), Ok(Some(text.to_vec())), "{encodings}");
        }
        assert_eq!(decoded("compress", TEXT), Ok(None));
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let error = decoded(encoding, b"plain text").unwrap_err();
            assert!(error.starts_with(&format!("its body cannot be decoded from {encoding}: ")), "{error}");
            let cut = match encoding {
                "gzip" => &GZIP[..15],
                "deflate" => &ZLIB[..8],
                "br" => &BROTLI[..8],
                _ => &ZSTD[..12],
            };
            assert!(decoded(encoding, cut).is_err(), "{encoding}");
        }
    }
}
