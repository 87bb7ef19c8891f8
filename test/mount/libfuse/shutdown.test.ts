/** The same, by libfuse. */
import './transport.ts';
import '../shutdown.test.ts';
