// What both lines of the TypeScript SDK are asked alike.

export async function answerQuestions(client, call, questions) {
  const ask = (question, options = {}) => call({ name: 'execute_spark_sql', arguments: question }, options);

  const { tools } = await client.listTools();
  const refusal = await ask(questions.refused);
  return {
    tools: tools.map(tool => tool.name),
    answer: (await ask(questions.answered)).structuredContent,
    refusal: refusal.isError ? refusal.content[0].text : null,
    limited: (await ask(questions.limited)).structuredContent,
    gave_up: await cancelWhenRunning(ask, questions.slow),
    again: (await ask(questions.answered)).structuredContent, // the connection outlives a call that was given up
  };
}

// What the client says of a call that was cancelled once the engine ran its statement; null where it was answered.
async function cancelWhenRunning(ask, question) {
  const controller = new AbortController();
  const onprogress = ({ message }) => {
    if (message === 'running in the engine') controller.abort('cancelled by the test');
  };
  try {
    await ask(question, { signal: controller.signal, onprogress });
    return null;
  } catch (error) {
    return String(error);
  }
}
