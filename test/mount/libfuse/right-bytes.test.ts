/** The same, by libfuse. */
import './transport.ts';
import '../right-bytes.test.ts';
