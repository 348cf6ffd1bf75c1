use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Undoes a `Content-Encoding`: `gzip`, `deflate`, `br` or none. Gives at most `limit` bytes, however
/// much they unpack to, and whether there was more. A body that ends in the middle (`is_cut`) gives what
/// can be had of it.
///
/// `None` when the encoding is another one, or the body is not in it.
pub fn unpacked(
    body: Vec<u8>,
    is_cut: bool,
    encoding: Option<&str>,
    limit: usize,
) -> Option<(Vec<u8>, bool)> {
    let encoding = encoding.unwrap_or("identity").trim().to_ascii_lowercase();
    let reader: Box<dyn Read + '_> = match encoding.as_str() {
        "" | "identity" => return Some((body, is_cut)),
        _ if body.is_empty() => return Some((body, is_cut)),
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(body.as_slice())),
        // Some servers leave zlib's frame out, whose first byte names its method.
        "deflate" if body[0] & 0x0f == 8 => Box::new(ZlibDecoder::new(body.as_slice())),
        "deflate" => Box::new(DeflateDecoder::new(body.as_slice())),
        "br" => Box::new(brotli_decompressor::Decompressor::new(
            body.as_slice(),
            4096,
        )),
        _ => return None,
    };
    let mut unpacked = Vec::new();
    let outcome = reader
        .take(limit as u64 + 1)
        .read_to_end(&mut unpacked)
        .map(drop);
    let has_more = unpacked.len() > limit;
    unpacked.truncate(limit);
    match outcome {
        Ok(()) => Some((unpacked, is_cut || has_more)),
        Err(error) if is_cut && ends_early(&error) && !unpacked.is_empty() => {
            Some((unpacked, true))
        }
        Err(_) => None,
    }
}

fn ends_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"many words, many words, many words, many words";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_back() {
        // "many words" by `brotli -c`, made once.
        let br = vec![
            0x8f, 0x04, 0x80, 109, 97, 110, 121, 32, 119, 111, 114, 100, 115, 0x03,
        ];
        for (encoding, packed, text) in [
            (None, TEXT.to_vec(), TEXT),
            (Some("identity"), TEXT.to_vec(), TEXT),
            (Some("GZIP"), gzip(TEXT), TEXT),
            (Some("deflate"), zlib(TEXT), TEXT),
            (Some("deflate"), deflate(TEXT), TEXT),
            (Some("br"), br, b"many words"),
        ] {
            let got = unpacked(packed, false, encoding, 1000);
            assert_eq!(got, Some((text.to_vec(), false)), "{encoding:?}");
        }
    }

    #[test]
    fn a_bomb_gives_no_more_than_the_limit() {
        let bomb = gzip(&vec![b'a'; 50 << 20]);
        assert!(bomb.len() < 100_000);
        let (text, is_cut) = unpacked(bomb, false, Some("gzip"), 1000).unwrap();
        assert_eq!((text.len(), is_cut), (1000, true));
    }

    #[test]
    fn half_a_body_gives_half_its_text() {
        let noise: Vec<u8> = (0..40_000_u32).map(|n| ((n * n) >> 7) as u8).collect();
        let mut packed = gzip(&noise);
        packed.truncate(packed.len() / 2);
        let (half, is_cut) = unpacked(packed.clone(), true, Some("gzip"), 1 << 20).unwrap();
        assert!(is_cut && !half.is_empty() && noise.starts_with(&half));
        // The server said that this was all of it.
        assert_eq!(unpacked(packed, false, Some("gzip"), 1 << 20), None);
    }

    #[test]
    fn what_is_not_packed_as_it_says_is_none() {
        for encoding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            assert_eq!(
                unpacked(b"\xffplain words".to_vec(), false, Some(encoding), 1000),
                None,
                "{encoding}"
            );
        }
    }
}
