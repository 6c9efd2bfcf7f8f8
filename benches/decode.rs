//! Gzip bytes in, record slices out, against bare inflation of the same bytes.

#![allow(clippy::expect_used, reason = "a benchmark without its input ends")]

use std::hint::black_box;
use std::io::{Read, Write};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ctforward_core::read::{LogReader, Step};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

const INFLATED: usize = 100_000_000;

fn decode(stored: &Bytes) -> (u64, usize) {
    let mut reader = LogReader::new();
    let (mut records, mut bytes) = (0, 0);
    let mut rest = stored.clone();
    loop {
        match reader.next() {
            Ok(Step::Record(record)) => {
                records += 1;
                bytes += record.bytes().len() + record.fields().len();
            }
            Ok(Step::NeedInput) if rest.is_empty() => reader.finish(),
            // As a body arrives from S3.
            Ok(Step::NeedInput) => reader.push(rest.split_to(rest.len().min(64 * 1024))),
            Ok(Step::End) => return (records, bytes),
            Ok(_) => {}
            Err(error) => unreachable!("{error}"),
        }
    }
}

fn inflate(stored: &Bytes, buffer: &mut [u8]) -> usize {
    let mut decoder = GzDecoder::new(stored.as_ref());
    let mut bytes = 0;
    loop {
        match decoder.read(buffer) {
            Ok(0) => return bytes,
            Ok(n) => bytes += black_box(&buffer[..n]).len(),
            Err(error) => unreachable!("{error}"),
        }
    }
}

fn benches(c: &mut Criterion) {
    let document = ctforward_benches::log_file(1, INFLATED);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(document.as_bytes()).expect("in memory");
    let stored = Bytes::from(encoder.finish().expect("in memory"));
    let (records, _) = decode(&stored);
    println!(
        "{records} records, {} bytes each, {} stored bytes",
        document.len() as u64 / records,
        stored.len()
    );
    let mut group = c.benchmark_group("decode");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(document.len() as u64));
    group.bench_function("bare inflation (flate2, zlib-rs)", |b| {
        let mut buffer = vec![0; 64 * 1024];
        b.iter(|| inflate(&stored, &mut buffer));
    });
    group.bench_function("records", |b| {
        b.iter_batched(|| stored.clone(), |s| decode(&s), BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(group, benches);
criterion_main!(group);
