// Sends what a form says, and shows the answer. Without this the page is for reading.
for (const form of document.querySelectorAll('form[data-path]')) {
  form.hidden = false;
  const output = form.querySelector('output');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    const request = { method: form.dataset.method, headers: {} };
    let path = form.dataset.path;
    for (const field of form.elements) {
      const [place, name] = (field.name || '').split(/:(.*)/s);
      if (place === 'path') path = path.replace(`{${name}}`, encodeURIComponent(field.value));
      else if (place === 'body') {
        request.headers['content-type'] = name;
        request.body = field.value;
      } else if (field.value === '') continue;
      else if (place === 'query') for (const value of field.value.split('\n')) query.append(name, value);
      else if (place === 'header') request.headers[name] = field.value;
    }
    output.textContent = '…';
    try {
      const answer = await fetch(query.size ? `${path}?${query}` : path, request);
      let text = await answer.text();
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* It is no JSON: shown as it came. */ }
      output.textContent = `${answer.status} ${answer.statusText}\n${text}`;
    } catch (fault) {
      output.textContent = `There is no answer: ${fault.message}`;
    }
  });
}
