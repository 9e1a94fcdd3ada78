// The official OpenAI client for Node as its users write it. Each function is one test of `node.rs`, which calls it by name.

import assert from 'node:assert/strict';
import OpenAI, { AzureOpenAI } from 'openai';

const client = new OpenAI({ timeout: 20_000 });
const messages = [{ role: 'user', content: 'Hello' }];
const ask = (more = {}) => client.chat.completions.create({ model: 'gpt-4', messages, ...more });

/** What it throws; fails if it does not. */
async function thrown(action) {
  try {
    await action();
  } catch (error) {
    return error;
  }
  assert.fail('nothing was thrown');
}

const tests = {
  async chat() {
    const { data, response, request_id } = await ask().withResponse();
    assert.equal(data.choices[0].message.content, 'Hello from a');
    assert.equal(response.headers.get('x-pointsman-provider'), 'a');
    assert.equal(request_id, response.headers.get('x-request-id'));
  },

  async many() {
    for (const answer of await Promise.all(Array.from({ length: 8 }, () => ask()))) {
      assert.equal(answer.choices[0].message.content, 'Hello from a');
    }
  },

  async ten_calls() {
    for (let call = 0; call < 10; call += 1) {
      assert.equal((await ask()).choices[0].message.content, 'Hello from a');
    }
  },

  async stream() {
    const words = [];
    for await (const chunk of await ask({ stream: true })) words.push(chunk.choices[0].delta.content);
    assert.deepEqual(words, ['Hello', ' from', ' a']);
  },

  async approaches() {
    for (const [approach, way] of [
      ['bon', { model: 'bon&proxy-gpt-4' }],
      ['moa', { optillm_approach: 'proxy', proxy_wrap: 'moa' }],
      ['re2', { model: 're2-gpt-4' }],
    ]) {
      const { data, response } = await ask(way).withResponse();
      assert.ok(response.headers.get('x-pointsman-approach').startsWith(`${approach}; calls=`));
      assert.equal(data.choices[0].message.content, 'Hello from a');
      let text = '';
      for await (const chunk of await ask({ ...way, stream: true })) text += chunk.choices[0]?.delta.content ?? '';
      assert.equal(text, 'Hello from a');
    }
    assert.equal((await thrown(() => ask({ model: 'z3-gpt-4' }))).code, 'approach_unavailable');
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: 'text-embedding-3-small', input: 'Hello' });
    assert.deepEqual(answer.data[0].embedding, [1, 2]);
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids.sort(), ['gpt-4', 'meta/llama-3']);
    assert.equal((await client.models.retrieve('gpt-4')).id, 'gpt-4');
  },

  async transcription() {
    const file = await OpenAI.toFile(Buffer.from('RIFF\r\n\0\xff', 'latin1'), 'a.wav');
    const answer = await client.audio.transcriptions.create({ model: 'whisper-1', file });
    assert.equal(answer.text, 'Hello from a');
  },

  async bad_request_error() {
    const error = await thrown(ask);
    assert.ok(error instanceof OpenAI.BadRequestError, error);
    assert.equal(error.code, 'mock_code');
  },

  async rate_limit_error() {
    const error = await thrown(ask);
    assert.ok(error instanceof OpenAI.RateLimitError, error);
    const after = Number(error.headers.get('retry-after'));
    assert.ok(after >= 60 && after <= 90, after);
  },

  async internal_server_error() {
    const error = await thrown(ask);
    assert.ok(error instanceof OpenAI.InternalServerError && error.status === 502, error);
    assert.equal(error.code, 'all_providers_failed');
    assert.ok(error.requestID);
  },

  /** Streams that are cut at every byte: `RECORDED` says from which on they have content, and how long they are. */
  async cut_streams() {
    const patient = new OpenAI({ timeout: 20_000, maxRetries: 0 });
    const create = {
      chat: (more) => patient.chat.completions.create({ model: 'gpt-4', messages, stream: true }, more),
      completions: (more) => patient.completions.create({ model: 'gpt-4', prompt: 'Hello', stream: true }, more),
      responses: (more) => patient.responses.create({ model: 'gpt-4', input: 'Hello', stream: true }, more),
    };
    const see = async (name, cut) => {
      try {
        const events = [];
        for await (const event of await create[name]({ headers: { 'x-cut': String(cut) } })) events.push(event);
        assert.ok(events.length > 0);
        return 'whole';
      } catch (error) {
        // The proxy closes a connection after a stream that broke; a request that fetch sends into it just then is sent
        // again, as the SDK does by default.
        if (error.cause?.cause?.code === 'UND_ERR_SOCKET') return see(name, cut);
        assert.ok(error instanceof OpenAI.APIError && error.message.includes('provider a'), error);
        return 'error';
      }
    };
    for (const [name, [content, length]] of Object.entries(JSON.parse(process.env.RECORDED))) {
      for (let first = 0; first <= length; first += 16) {
        const cuts = Array.from({ length: Math.min(16, length + 1 - first) }, (_, index) => first + index);
        const seen = await Promise.all(cuts.map((cut) => see(name, cut)));
        assert.deepEqual(seen, cuts.map((cut) => (content <= cut && cut < length ? 'error' : 'whole')), `${name} from ${first}`);
      }
    }
  },

  async azure() {
    const endpoint = process.env.OPENAI_BASE_URL.replace(/\/v1$/, '');
    // Without a base URL, which it would take from the environment.
    const options = { baseURL: null, endpoint, apiKey: 'client-key', apiVersion: '2024-10-21', timeout: 20_000 };
    const { completions } = new AzureOpenAI(options).chat;
    const answer = await completions.create({ model: 'gpt-4', messages });
    assert.equal(answer.choices[0].message.content, 'Hello from a');
    const words = [];
    for await (const chunk of await completions.create({ model: 'gpt-4', messages, stream: true })) {
      words.push(chunk.choices[0].delta.content);
    }
    assert.deepEqual(words, ['Hello', ' from', ' a']);
  },

  async leaves_a_stream() {
    const stream = await ask({ stream: true });
    for await (const chunk of stream) {
      assert.equal(chunk.choices[0].delta.content, 'Hello');
      // Closes the connection, as the package documents it.
      break;
    }
    // As long as this process lives it is not its end that closes it.
    await new Promise((resolve) => process.stdin.once('end', resolve).resume());
  },
};

await tests[process.argv[2]]();
console.log('ok');
