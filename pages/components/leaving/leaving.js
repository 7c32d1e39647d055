// Takes the browser to another address of this server, or loads the page anew. What a page was until then, its session on
// the server too, is over.
export default function ({ data }) {
  if (data.address) window.location.assign(data.address);
  else window.location.reload();
}
