//! Multipart forms: fields become the JSON tree, files go to `uploads.dir` as they arrive.

use super::{
    BodyError, Collected, Settings, UploadGuard,
    form::{self, Fields, FormError, Value},
    incoming::Incoming,
    media,
    multipart::{Event, MultipartError, Parser},
    name,
    settings::MAX_FORM,
    spool::Spool,
    tree::{Tree, TreeError},
    uploads::{Receiver, Upload},
};
use bytes::Bytes;
use rr_common::pool::Body;
use std::{borrow::Cow, collections::HashMap, error::Error, ops::Range};

impl From<MultipartError> for BodyError {
    fn from(error: MultipartError) -> Self {
        Self::Form(error.to_string())
    }
}

impl From<TreeError> for BodyError {
    fn from(error: TreeError) -> Self {
        Self::Form(error.to_string())
    }
}

/// The boundary that a content type gives.
pub(super) fn boundary(content_type: &[u8]) -> Result<Vec<u8>, BodyError> {
    let form = |text: &str| BodyError::Form(text.into());
    let media_type = media::parse(content_type)
        .ok()
        .filter(|media_type| media_type.is("multipart/form-data"))
        .ok_or_else(|| form("request Content-Type isn't multipart/form-data"))?;
    let boundary = media_type.param("boundary");
    Ok(boundary
        .ok_or_else(|| form("no multipart boundary param in Content-Type"))?
        .to_vec())
}

/// Where the bytes of the current part go.
enum Target {
    Nowhere,
    Field { name: Vec<u8>, start: u64 },
    File { name: Vec<u8>, file: Receiver },
}

/// Reads a multipart body up to its last boundary.
pub(super) async fn collect<B>(
    mut incoming: Incoming<B>,
    boundary: Vec<u8>,
    settings: &Settings,
) -> Result<Collected, BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut parser = Parser::new(&boundary)?;
    let mut fields = FieldParts::new(settings);
    let mut files = FileParts::default();
    let mut target = Target::Nowhere;
    loop {
        match parser.event()? {
            Event::More => match incoming.slice().await? {
                Some(piece) => parser.push(&piece),
                None => parser.end(),
            },
            Event::Part(head) => {
                target = if head.name.is_empty() {
                    Target::Nowhere
                } else if head.filename.is_empty() {
                    let start = fields.values.len();
                    Target::Field { name: head.name, start }
                } else if files.wants(&head.name) {
                    let file = Receiver::new(head.filename, head.mime, settings);
                    Target::File { name: head.name, file }
                } else {
                    Target::Nowhere
                };
            }
            Event::Data(data) => match &mut target {
                Target::Nowhere => {}
                Target::Field { .. } => fields.write(data).await?,
                Target::File { file, .. } => file.write(data).await,
            },
            Event::PartEnd => match std::mem::replace(&mut target, Target::Nowhere) {
                Target::Nowhere => {}
                Target::Field { name, start } => fields.names.push((name, start..fields.values.len())),
                Target::File { name, file } => {
                    let upload = file.finish(&mut files.guard).await;
                    files.push(name, upload);
                }
            },
            Event::End => break,
        }
    }
    let (uploads, guard) = files.finish()?;
    Ok(Collected {
        body: fields.into_tree(settings).await?,
        parsed: true,
        uploads: Some(uploads),
        guard,
    })
}

/// The fields' names, and their values behind each other in one spool, so that many large forms at once do not fill
/// the memory.
struct FieldParts {
    names: Vec<(Vec<u8>, Range<u64>)>,
    values: Spool,
}

impl FieldParts {
    fn new(settings: &Settings) -> Self {
        Self {
            names: Vec::new(),
            values: Spool::new(settings, 0),
        }
    }

    async fn write(&mut self, data: &[u8]) -> Result<(), BodyError> {
        if self.values.len() + data.len() as u64 > MAX_FORM {
            return Err(MultipartError::TooLarge.into());
        }
        Ok(self.values.write(data).await?)
    }

    async fn into_tree(self, settings: &Settings) -> Result<Body, BodyError> {
        let names = self.names;
        let values = self.values.finish().await?;
        form::tree(values, settings, move |values| field_tree(names, values)).await
    }
}

fn field_tree(names: Vec<(Vec<u8>, Range<u64>)>, values: &[u8]) -> Result<Tree<Value<'_>>, FormError> {
    let mut fields = Fields::default();
    for (name, range) in names {
        let value = &values[range.start as usize..range.end as usize];
        fields.push(Cow::Owned(name), Cow::Borrowed(value));
    }
    Ok(fields.into_tree()?)
}

/// The files, by name in the order of their first appearance.
#[derive(Default)]
struct FileParts {
    files: Vec<(Vec<u8>, Vec<Upload>)>,
    index: HashMap<Vec<u8>, usize>,
    guard: UploadGuard,
}

impl FileParts {
    /// False for a file that has no place in the tree: a further one of a plain name, or one too deep.
    fn wants(&self, field: &[u8]) -> bool {
        name::split(field).is_some_and(|path| name::is_list(&path) || !self.index.contains_key(field))
    }

    fn push(&mut self, name: Vec<u8>, upload: Upload) {
        let at = *self.index.entry(name.clone()).or_insert(self.files.len());
        match self.files.get_mut(at) {
            Some((_, uploads)) => uploads.push(upload),
            None => self.files.push((name, vec![upload])),
        }
    }

    /// The tree's JSON, and what keeps its files.
    fn finish(self) -> Result<(Bytes, UploadGuard), BodyError> {
        let mut tree = Tree::default();
        for (name, uploads) in self.files {
            tree.insert(&name, uploads)?;
        }
        let mut json = Vec::new();
        tree.write_json(&mut json)?;
        Ok((json.into(), self.guard))
    }
}
