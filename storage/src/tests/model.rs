//! The backend against a plain ordered map: whatever is written, flushed, reopened, defragmented or replaced, both
//! tell the same rows.

use crate::{AppliedMark, Backend, BackendOptions, Batch, EngineKind, Keyspace, View};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// A row to write or, without a value, to remove. Keys are few, so that steps meet the same rows.
#[derive(Clone, Debug)]
pub(super) struct ModelRow {
    keyspace: Keyspace,
    key: Bytes,
    value: Option<Bytes>,
}

/// Something that is done to a backend.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<ModelRow>),
    Flush,
    View,
    Reopen,
    Defragment,
    Replace(Vec<ModelRow>),
}

impl Step {
    pub(super) fn any() -> impl Strategy<Value = Step> {
        let rows = || proptest::collection::vec(any_row(), 0..12);
        prop_oneof![
            12 => rows().prop_map(Step::Write),
            4 => Just(Step::Flush),
            2 => Just(Step::View),
            1 => Just(Step::Reopen),
            1 => Just(Step::Defragment),
            1 => rows().prop_map(Step::Replace),
        ]
    }
}

fn any_row() -> impl Strategy<Value = ModelRow> {
    let keyspace = prop_oneof![
        4 => Just(Keyspace::Key),
        1 => Just(Keyspace::Lease),
        1 => Just(Keyspace::Members),
    ];
    let key =
        (0..60_u64).prop_map(|main| Bytes::from([&main.to_be_bytes()[..], b"_", &[0; 8]].concat()));
    let length = prop_oneof![8 => 0..200_usize, 1 => 4_000..13_000_usize];
    let value = (length, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length]));
    (keyspace, key, proptest::option::weighted(0.8, value))
        .prop_map(|(keyspace, key, value)| ModelRow { keyspace, key, value })
}

/// The plain ordered map.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    rows: BTreeMap<(Keyspace, Bytes), Bytes>,
}

impl Model {
    /// The model after `rows`, which are added to `batch` as well.
    pub(super) fn with(mut self, rows: &[ModelRow], batch: &mut Batch) -> Model {
        for ModelRow { keyspace, key, value } in rows {
            match value {
                Some(value) => {
                    batch.put(*keyspace, key.clone(), value.clone());
                    self.rows.insert((*keyspace, key.clone()), value.clone());
                }
                None => {
                    batch.delete(*keyspace, key.clone());
                    self.rows.remove(&(*keyspace, key.clone()));
                }
            }
        }
        self
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (Keyspace, Bytes, Bytes)> {
        let row = |((keyspace, key), value): (&(_, Bytes), &Bytes)| {
            (*keyspace, key.clone(), value.clone())
        };
        self.rows.iter().map(row)
    }

    /// Says where the backend tells other rows, by scans, by gets and by many gets at once.
    pub(super) fn compare(&self, backend: &Backend) -> Result<(), String> {
        let mut found = Model::default();
        for keyspace in Keyspace::ALL {
            let mut visit = |key: &[u8], value: &[u8]| found.visit(keyspace, key, value);
            backend.scan(keyspace, &[], None, &mut visit).map_err(|error| error.to_string())?;
        }
        self.compare_rows(&found)?;
        for keyspace in [Keyspace::Key, Keyspace::Lease] {
            let keys: Vec<_> = (0..60_u64)
                .map(|main| Bytes::from([&main.to_be_bytes()[..], b"_", &[0; 8]].concat()))
                .collect();
            let many = backend.get_many(keyspace, &keys).map_err(|error| error.to_string())?;
            for (key, from_many) in keys.into_iter().zip(many) {
                let one = backend.get(keyspace, &key).map_err(|error| error.to_string())?;
                let expected = self.rows.get(&(keyspace, key.clone()));
                if one.as_ref() != expected || from_many.as_ref() != expected {
                    return Err(format!("get of {key:?} in {keyspace:?} differs"));
                }
            }
        }
        Ok(())
    }

    fn compare_view(&self, view: &dyn View) -> Result<(), String> {
        let mut found = Model::default();
        for keyspace in Keyspace::ALL {
            let mut visit = |key: &[u8], value: &[u8]| found.visit(keyspace, key, value);
            view.scan(keyspace, &[], None, &mut visit).map_err(|error| error.to_string())?;
        }
        self.compare_rows(&found)
    }

    fn visit(&mut self, keyspace: Keyspace, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        // The mark's rows are the backend's own.
        if keyspace != Keyspace::Meta {
            let place = (keyspace, Bytes::copy_from_slice(key));
            self.rows.insert(place, Bytes::copy_from_slice(value));
        }
        ControlFlow::Continue(())
    }

    fn compare_rows(&self, found: &Model) -> Result<(), String> {
        let missing =
            self.rows.keys().find(|place| found.rows.get(*place) != self.rows.get(*place));
        let extra = found.rows.keys().find(|place| !self.rows.contains_key(*place));
        match (missing, extra) {
            (None, None) => Ok(()),
            _ => Err(format!("missing or different: {missing:?}, too many: {extra:?}")),
        }
    }
}

fn run(engine: EngineKind, steps: &[Step]) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let flush_interval = Duration::from_millis(1);
    let options =
        BackendOptions { engine, flush_interval, cache_bytes: 1 << 20, ..Default::default() };
    let open = || Backend::open(&directory.path().join("state"), options.clone());
    let fail = |error: String| TestCaseError::fail(error);
    let mut backend = open().unwrap();
    let mut model = Model::default();
    let mut mark = AppliedMark::default();
    let mut views: Vec<(Arc<dyn View>, Model)> = Vec::new();
    for step in steps {
        let next = AppliedMark { term: 1, index: mark.index + 1, leader_member_id: 3 };
        match step {
            Step::Write(rows) => {
                let mut batch = Batch::applied(next.clone());
                model = model.with(rows, &mut batch);
                backend.write(batch).unwrap();
                mark = next;
            }
            Step::Flush => prop_assert_eq!(&backend.flush().unwrap(), &mark),
            Step::View => {
                let view = backend.view().unwrap();
                prop_assert_eq!(view.applied(), &mark);
                views.push((view, model.clone()));
            }
            Step::Reopen => {
                views.clear();
                drop(backend);
                backend = open().unwrap();
                prop_assert_eq!(backend.applied_at_open().unwrap_or_default(), mark.clone());
            }
            Step::Defragment => drop(backend.defragment().unwrap()),
            Step::Replace(rows) => {
                model = Model::default().with(rows, &mut Batch::housekeeping());
                backend.replace_all(model.rows().map(Ok), next.clone()).unwrap();
                mark = next;
            }
        }
        model.compare(&backend).map_err(fail)?;
    }
    for (view, model) in views {
        model.compare_view(&*view).map_err(fail)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// redb tells what the map tells.
    #[test]
    fn redb_agrees_with_a_map(steps in proptest::collection::vec(Step::any(), 1..40)) {
        run(EngineKind::Redb, &steps)?;
    }

    /// sled tells what the map tells.
    #[test]
    fn sled_agrees_with_a_map(steps in proptest::collection::vec(Step::any(), 1..40)) {
        run(EngineKind::Sled, &steps)?;
    }
}
