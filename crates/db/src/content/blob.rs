//! Bytes kept once, under the hash of what they were before compression.
//!
//! Payloads and states live here. The transaction that drops the last reference to a blob deletes it.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{Error, WriteTx};

/// The SHA-256 of some bytes.
pub type Hash = [u8; 32];

/// Below this size compression does not pay.
const COMPRESS_FROM: usize = 256;
const LEVEL: i32 = 3;

const PLAIN: i64 = 0;
const ZSTD: i64 = 1;

/// What a forge sent for one item, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The parts of an item under their names, each as it was received:
    /// `{"issue":{…},"pull":{…}}`.
    #[must_use]
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = (&'static str, &'a [u8])>) -> Self {
        let mut bytes = vec![b'{'];
        for (name, raw) in parts {
            if bytes.len() > 1 {
                bytes.push(b',');
            }
            bytes.push(b'"');
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b"\":");
            bytes.extend_from_slice(raw);
        }
        bytes.push(b'}');
        Self(bytes)
    }

    /// Bytes that need not be JSON, such as an item that could not be read.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Payload {
    /// Bodies may be large and private; a log gets their size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// A compressor, made when the first blob of a transaction needs it.
#[derive(Default)]
pub(crate) struct Zstd(Option<zstd::bulk::Compressor<'static>>);

impl Zstd {
    fn compress(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let compressor = match &mut self.0 {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(LEVEL).map_err(zstd_error)?),
        };
        compressor.compress(bytes).map_err(zstd_error)
    }
}

fn zstd_error(error: std::io::Error) -> Error {
    Error::Sqlite(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The hash under which `bytes` are kept.
#[must_use]
pub fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Keeps `bytes`, unless they are kept already.
pub(crate) fn put(tx: &WriteTx<'_>, bytes: &[u8]) -> Result<Hash, Error> {
    let hash = hash(bytes);
    put_hashed(tx, &hash, bytes)?;
    Ok(hash)
}

pub(crate) fn put_hashed(tx: &WriteTx<'_>, hash: &Hash, bytes: &[u8]) -> Result<(), Error> {
    let known = tx
        .prepare_cached("SELECT 1 FROM blobs WHERE hash = ?1")?
        .exists(params![hash])?;
    if known {
        return Ok(());
    }
    tx.content_seq()?;
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let mut insert = tx.prepare_cached("INSERT INTO blobs (hash, codec, size, data) VALUES (?1, ?2, ?3, ?4)")?;
    if bytes.len() < COMPRESS_FROM {
        insert.execute(params![hash, PLAIN, size, bytes])?;
    } else {
        let data = tx.zstd.borrow_mut().compress(bytes)?;
        insert.execute(params![hash, ZSTD, size, data])?;
    }
    Ok(())
}

/// The bytes under `hash`, checked against it.
///
/// # Errors
/// [`Error::Corrupt`] if they are not there or do not have this hash.
pub fn get(conn: &Connection, hash: &Hash) -> Result<Vec<u8>, Error> {
    let (codec, size, data): (i64, i64, Vec<u8>) = conn
        .prepare_cached("SELECT codec, size, data FROM blobs WHERE hash = ?1")?
        .query_row(params![hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?
        .ok_or_else(|| damaged(hash, "is missing"))?;
    let columns = Columns {
        hash,
        codec,
        size,
        data: &data,
    };
    Unpack::default().bytes(&columns)
}

/// The columns of a blob, as a query that joins the table reads them.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'r> {
    pub hash: &'r Hash,
    pub codec: i64,
    pub size: i64,
    pub data: &'r [u8],
}

/// Unpacks blobs one after another, with one decompressor for all of them.
#[derive(Default)]
pub(crate) struct Unpack(Option<zstd::bulk::Decompressor<'static>>);

impl Unpack {
    /// The bytes of a blob, checked against its hash.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they do not have it.
    pub fn bytes(&mut self, blob: &Columns<'_>) -> Result<Vec<u8>, Error> {
        let Columns { hash, .. } = *blob;
        let bytes = if blob.codec == ZSTD {
            let size = usize::try_from(blob.size).map_err(|_| damaged(hash, "has no size"))?;
            let decompressor = match &mut self.0 {
                Some(decompressor) => decompressor,
                none => none.insert(zstd::bulk::Decompressor::new().map_err(zstd_error)?),
            };
            decompressor
                .decompress(blob.data, size)
                .map_err(|_| damaged(hash, "cannot be unpacked"))?
        } else {
            blob.data.to_vec()
        };
        if self::hash(&bytes) == *hash {
            Ok(bytes)
        } else {
            Err(damaged(hash, "has other bytes"))
        }
    }
}

/// Deletes a blob that nothing refers to any more.
pub(crate) fn drop_if_unused(tx: &WriteTx<'_>, hash: &Hash) -> Result<(), Error> {
    let mut delete = tx.prepare_cached(
        "DELETE FROM blobs WHERE hash = ?1
         AND NOT EXISTS (SELECT 1 FROM revisions WHERE payload_hash = ?1)
         AND NOT EXISTS (SELECT 1 FROM revisions WHERE state_hash = ?1)
         AND NOT EXISTS (SELECT 1 FROM dependent_sets WHERE payload_hash = ?1)
         AND NOT EXISTS (SELECT 1 FROM quarantine WHERE payload_hash = ?1)",
    )?;
    tx.content_seq()?;
    delete.execute(params![hash])?;
    Ok(())
}

/// A hash as people and dumps write it.
#[must_use]
pub fn hex(hash: &[u8]) -> String {
    use std::fmt::Write as _;
    hash.iter()
        .fold(String::with_capacity(hash.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            if write!(text, "{byte:02x}").is_err() {
                text.push('?');
            }
            text
        })
}

fn damaged(hash: &Hash, how: &str) -> Error {
    Error::corrupt(format!("blob {} {how}", hex(hash)))
}
