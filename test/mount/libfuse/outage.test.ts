/** The same, by libfuse. */
import './transport.ts';
import '../outage.test.ts';
