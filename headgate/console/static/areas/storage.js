// Buckets and objects as one's account may see them: folders, upload with progress, preview, signed link, delete.
import { html, useRef, useState } from "../names.js";
import { ask, client, SurfaceError, useAsk } from "../client.js";
import { Badge, Empty, Failure, ICONS, Stale } from "../ui.js";
import { act, Bones, Confirm, Dialog, Facts, Field, Pager, Progress, toast, Wrong } from "../widgets.js";
import { ago, when } from "../format.js";
import { size } from "./overview.js";

const STEP = 50;
const IMAGE = /^image\/(png|jpe?g|gif|webp|avif|svg\+xml)$/;

export default function Storage({ rest, who }) {
  const [making, make] = useState(null);
  const read = useAsk("buckets", () => ask(client.storage.listBuckets()));
  const [bucket, ...folder] = rest;
  const entry = (read.data || []).find((b) => b.id === bucket);
  return html`<div class="head"><div><h1>${bucket || "Storage"}</h1><p>Row-level security on <code>storage.objects</code> decides what you see and may do.</p></div>${who.admin && html`<button class="button main" type="button" onClick=${() => make({})}>New bucket</button>`}</div>
    <div class="split"><div class="card picker" style=${{ "--picker": "620px" }}>${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`) : read.data.length ? html`<nav class="fixed" aria-label="Buckets" tabindex="0" style=${{ flex: 1 }}><ul>${read.data.map((b) => html`<li key=${b.id}><a href=${`#/storage/${encodeURIComponent(b.id)}`} aria-current=${b.id === bucket ? "page" : undefined}><span>${b.name}</span><small>${b.public ? "public" : ""}</small></a></li>`)}</ul></nav>`
      : html`<p class="quiet small" style=${{ padding: "8px" }}>${who.admin ? "No bucket yet. Make the first one." : "No bucket is open to you."}</p>`}</div>
    ${bucket ? html`<${Folder} key=${rest.join("/")} bucket=${bucket} entry=${entry} folder=${folder} admin=${who.admin} onBucket=${() => make(entry)} onGone=${read.reload} />` : html`<div class="card" style=${{ minHeight: "620px" }}><${Empty} icon="folder" title="Choose a bucket">Its folders and files appear here; drop files on it to upload them.<//></div>`}</div>
    ${making && html`<${Bucket} bucket=${making} onClose=${() => make(null)} onDone=${() => { make(null); read.reload(); }} />`}`;
}

function Bucket({ bucket, onClose, onDone }) {
  const [error, setError] = useState(null);
  const fresh = !bucket.id;
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const types = form.get("types").split(",").map((t) => t.trim()).filter(Boolean);
    const options = { public: form.get("public") === "on", fileSizeLimit: form.get("limit").trim() || null, allowedMimeTypes: types.length ? types : null };
    try {
      await ask(fresh ? client.storage.createBucket(form.get("name").trim(), options) : client.storage.updateBucket(bucket.id, options));
      toast(fresh ? "The bucket is made" : "The bucket is changed");
      onDone();
    } catch (failed) { setError(failed); }
  };
  return html`<${Dialog} title=${fresh ? "New bucket" : `Bucket ${bucket.id}`} onClose=${onClose}><form class="form" onSubmit=${submit}><${Wrong} error=${error} />${fresh && html`<${Field} label="Name" name="name" required maxlength="100" autocomplete="off" />`}
    <${Field} label="Largest file" name="limit" placeholder="no limit of its own" defaultValue=${bucket.file_size_limit || ""} hint="Bytes, or with a unit: 20MB" /><${Field} label="Types allowed" name="types" placeholder="any" defaultValue=${(bucket.allowed_mime_types || []).join(", ")} hint="image/png, image/*, …" />
    <label class="row small"><input type="checkbox" name="public" defaultChecked=${bucket.public} />Public: everybody may download by address</label><div class="dialog-foot"><button class="button" type="button" onClick=${onClose}>Cancel</button><button class="button main">${fresh ? "Make it" : "Save"}</button></div></form><//>`;
}

/** One upload with its progress; fetch cannot report it, so the request is made by XMLHttpRequest. */
async function upload(bucket, path, file, onProgress) {
  const { data } = await client.auth.getSession();
  const address = `/storage/v1/object/${encodeURIComponent(bucket)}/${path.split("/").map(encodeURIComponent).join("/")}`;
  await new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("authorization", `Bearer ${data.session.access_token}`);
    if (client.supabaseKey !== "none") request.setRequestHeader("apikey", client.supabaseKey);
    request.setRequestHeader("content-type", file.type || "application/octet-stream");
    request.setRequestHeader("cache-control", "max-age=3600");
    request.upload.onprogress = (e) => onProgress(e.loaded, e.total);
    request.onerror = () => fail(new SurfaceError({ message: "Failed to fetch" }));
    request.onload = () => {
      if (request.status < 300) { done(); return; }
      let said = {};
      try { said = JSON.parse(request.responseText); } catch { said = { message: `The server answered ${request.status}.` }; }
      fail(new SurfaceError({ message: said.message, code: said.error || said.statusCode }));
    };
    request.send(file);
  });
}

function Folder({ bucket, entry, folder, admin, onBucket, onGone }) {
  const [page, setPage] = useState(0);
  const [sending, setSending] = useState([]);
  const [over, setOver] = useState(false);
  const [open, setOpen] = useState(null);
  const [chosen, choose] = useState([]);
  const [sure, setSure] = useState(null);
  const input = useRef(null);
  const prefix = folder.join("/");
  const read = useAsk(`${bucket}/${prefix} ${page}`, () => ask(client.storage.from(bucket).list(prefix, { limit: STEP, offset: page * STEP, sortBy: { column: "name", order: "asc" } })));
  const at = (name) => (prefix ? `${prefix}/${name}` : name);
  const send = async (files) => {
    for (const file of files) {
      const mine = { name: file.name, sent: 0, whole: file.size };
      setSending((old) => [...old, mine]);
      try {
        await upload(bucket, at(file.name), file, (sent, whole) => { Object.assign(mine, { sent, whole }); setSending((old) => [...old]); });
        toast(`${file.name} is stored`);
      } catch (error) { toast(`${file.name}: ${error.message}`, "bad"); }
      setSending((old) => old.filter((one) => one !== mine));
    }
    read.reload();
  };
  const drop = (e) => { e.preventDefault(); setOver(false); send([...e.dataTransfer.files]); };
  const remove = async () => { await ask(client.storage.from(bucket).remove(chosen.map(at))); choose([]); toast("Deleted"); read.reload(); };
  const removeBucket = async () => { await ask(client.storage.emptyBucket(bucket)); await ask(client.storage.deleteBucket(bucket)); toast("The bucket is deleted"); onGone(); location.hash = "#/storage"; };
  const link = (parts) => `#/storage/${[bucket, ...parts].map(encodeURIComponent).join("/")}`;
  const rows = (read.data || []).filter((o) => o.name !== ".emptyFolderPlaceholder");
  return html`<div class="card flush" style=${{ minHeight: "620px" }} onDragOver=${(e) => { e.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <div class="card-head"><nav class="row" aria-label="Folder"><a class="name" href=${link([])}>${bucket}</a>${folder.map((part, i) => html`<span key=${i} class="quiet">/</span><a class="name" href=${link(folder.slice(0, i + 1))}>${part}</a>`)}${entry && entry.public && html`<${Badge} tone="warn">public<//>`}</nav>
      <div class="row">${chosen.length > 0 && html`<button class="button danger" type="button" onClick=${() => setSure("objects")}>Delete ${chosen.length}</button>`}${admin && !prefix && html`<button class="button" type="button" disabled=${!entry} onClick=${onBucket}>Limits</button><button class="button" type="button" disabled=${!entry} onClick=${() => setSure("bucket")}>Delete bucket</button>`}
        <button class="button main" type="button" onClick=${() => input.current.click()}>Upload</button><input class="hidden" type="file" multiple tabindex="-1" aria-label="Files to upload" ref=${input} onChange=${(e) => { send([...e.target.files]); e.target.value = ""; }} /></div></div>
    <div style=${{ padding: "0 24px 12px" }}><div class=${`drop ${over ? "over" : ""}`}>Drop files here to store them ${prefix ? `in ${prefix}` : "in this bucket"}</div>
      ${sending.map((s) => html`<div key=${s.name} style=${{ marginTop: "8px" }}><div class="row spread small"><span>${s.name}</span><span class="quiet">${size(s.sent)} of ${size(s.whole)}</span></div><${Progress} seen=${s.sent} expected=${s.whole} label=${`Upload of ${s.name}`} /></div>`)}</div>
    ${!read.data ? (read.error ? html`<${Failure} error=${read.error} retry=${read.reload} />` : html`<${Bones} rows=${8} />`) : html`<${Stale} error=${read.error} retry=${read.reload} />${!rows.length ? html`<${Empty} icon="folder" title="Nothing here">Drop a file, or press Upload.<//>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Objects"><table><thead><tr><th scope="col"><span class="hidden">Choose</span></th><th scope="col">Name</th><th scope="col">Type</th><th class="num" scope="col">Size</th><th class="num" scope="col">Changed</th></tr></thead><tbody>
      ${rows.map((o) => { const file = o.id != null; return html`<tr key=${o.name}><td style=${{ width: "1%" }}>${file && html`<input type="checkbox" aria-label=${`Choose ${o.name}`} checked=${chosen.includes(o.name)} onChange=${() => choose(chosen.includes(o.name) ? chosen.filter((n) => n !== o.name) : [...chosen, o.name])} />`}</td>
        <td><span class="row" style=${{ flexWrap: "nowrap" }}><span class="thumb">${file ? ICONS.file : ICONS.folder}</span>${file ? html`<button class="button plain small" style=${{ overflowWrap: "anywhere", whiteSpace: "normal", textAlign: "left" }} type="button" onClick=${() => setOpen(o)}>${o.name}</button>` : html`<a class="name" href=${link([...folder, o.name])}>${o.name}</a>`}</span></td>
        <td class="quiet">${(o.metadata || {}).mimetype || (file ? "–" : "folder")}</td><td class="num">${file ? size((o.metadata || {}).size) : ""}</td><td class="num quiet">${o.updated_at ? ago((Date.now() - Date.parse(o.updated_at)) / 1000) : ""}</td></tr>`; })}</tbody></table></div>`}
      <${Pager} page=${page} size=${STEP} shown=${rows.length} onPage=${setPage} />`}
    ${open && html`<${File} bucket=${bucket} path=${at(open.name)} object=${open} onClose=${() => setOpen(null)} onGone=${() => { setOpen(null); read.reload(); }} />`}
    ${sure === "objects" && html`<${Confirm} title="Delete these files?" sure="Delete" onSure=${remove} onClose=${() => setSure(null)}><p>${chosen.join(", ")}</p><//>`}
    ${sure === "bucket" && html`<${Confirm} title=${`Delete the bucket ${bucket}?`} sure="Delete all of it" onSure=${removeBucket} onClose=${() => setSure(null)}><p>Everything in it goes too. This cannot be taken back.</p><//>`}</div>`;
}

function File({ bucket, path, object: o, onClose, onGone }) {
  const [sure, setSure] = useState(false);
  const type = (o.metadata || {}).mimetype || "";
  const signed = useAsk(`sign ${path}`, async () => (await ask(client.storage.from(bucket).createSignedUrl(path, 3600))).signedUrl);
  const copy = () => act(() => navigator.clipboard.writeText(signed.data), "The link is copied; it works for an hour");
  if (sure) return html`<${Confirm} title="Delete this file?" sure="Delete" onClose=${() => setSure(false)} onSure=${async () => { await ask(client.storage.from(bucket).remove([path])); toast("Deleted"); onGone(); }}><p>${path}</p><//>`;
  return html`<${Dialog} title=${o.name} onClose=${onClose} wide>${IMAGE.test(type) && html`<div style=${{ minHeight: "220px" }}>${signed.data && html`<img class="preview" src=${signed.data} alt=${`Preview of ${o.name}`} />`}</div>`}
    <${Wrong} error=${signed.error} /><${Facts} items=${[["Path", path], ["Type", type || "–"], ["Size", size((o.metadata || {}).size)], ["ETag", (o.metadata || {}).eTag], ["Stored", when(o.created_at)], ["Changed", when(o.updated_at)]]} />
    <div class="dialog-foot"><button class="button danger" type="button" onClick=${() => setSure(true)}>Delete</button><button class="button" type="button" disabled=${!signed.data} onClick=${copy}>Copy a link for an hour</button>${signed.data && html`<a class="button main" href=${`${signed.data}&download=`}>Download</a>`}</div><//>`;
}
